// Converts all .npy files of a folder to another dtype, by PyTorch's rules, in
// a server. Several files are under way at a time, on one thread: a file that
// is read from the disk overlaps with others that are converted or written.
// What is wrong with one file is told, and is no other file's matter.
//
// Ends with 0 if every file was converted, with 1 if not, and with 2 if it
// could not begin.
#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <deque>
#include <filesystem>
#include <iostream>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_format.h"
#include "tensord/client.h"

ABSL_FLAG(std::string, target, "localhost:50051", "The server");
ABSL_FLAG(std::string, dtype, "float16", "What to convert to");
ABSL_FLAG(bool, saturate, false,
          "Make the nearest value that fits of those that do not");
ABSL_FLAG(std::size_t, at_once, 4, "Files that are under way at a time");

namespace {

using std::filesystem::path;

constexpr int kNotBegun = 2;

std::string Text(const absl::Status& status) {
  return status.ToString(absl::StatusToStringMode::kWithNoExtraData);
}

// Moves files through two queues: those that are loaded, which also converts
// them, and those that are saved.
class Converter {
 public:
  Converter(tensord::Client client, tensord::CreateOptions options, path output)
      : client_(std::move(client)),
        options_(std::move(options)),
        output_(std::move(output)) {}

  std::size_t under_way() const { return loading_.size() + saving_.size(); }
  int converted() const { return converted_; }
  int failed() const { return failed_; }

  void Start(const path& file) {
    loading_.push_back({file, client_.LoadNpyAsync(file, options_)});
  }

  // Waits for the file that came first, and takes it a step further.
  void Advance() {
    if (!saving_.empty()) {
      Saving file = std::move(saving_.front());
      saving_.pop_front();
      Report(file.input, std::move(file.saved).Get());
      // Here the tensor is deleted from the server.
      return;
    }
    Loading file = std::move(loading_.front());
    loading_.pop_front();
    auto tensor = std::move(file.tensor).Get();
    if (!tensor.ok()) return Report(file.input, tensor.status());
    auto saved = tensor->SaveNpyAsync(output_ / file.input.filename());
    saving_.push_back({file.input, *std::move(tensor), std::move(saved)});
  }

 private:
  struct Loading {
    path input;
    tensord::Future<absl::StatusOr<tensord::RemoteTensor>> tensor;
  };
  struct Saving {
    path input;
    tensord::RemoteTensor tensor;
    tensord::Future<absl::Status> saved;
  };

  void Report(const path& file, const absl::Status& status) {
    ++(status.ok() ? converted_ : failed_);
    if (!status.ok()) {
      std::cerr << file.string() << ": " << Text(status) << '\n';
    }
  }

  const tensord::Client client_;
  const tensord::CreateOptions options_;
  const path output_;
  std::deque<Loading> loading_;
  std::deque<Saving> saving_;
  int converted_ = 0;
  int failed_ = 0;
};

absl::StatusOr<std::vector<path>> NpyFiles(const path& folder) {
  std::error_code error;
  std::vector<path> files;
  for (std::filesystem::directory_iterator it(folder, error), end;
       !error && it != end; it.increment(error)) {
    if (it->path().extension() == ".npy") files.push_back(it->path());
  }
  if (error) {
    return absl::InvalidArgumentError("can not read the folder " +
                                      folder.string() + ": " + error.message());
  }
  std::sort(files.begin(), files.end());
  return files;
}

int Refuse(const std::string& why) {
  std::cerr << "convert_files: " << why << '\n';
  return kNotBegun;
}

}  // namespace

int main(int argc, char** argv) {
  absl::SetProgramUsageMessage(
      "Converts the .npy files of a folder with a tensord server.\n"
      "convert_files --target=localhost:50051 --dtype=float16 INPUT OUTPUT");
  const std::vector<char*> arguments = absl::ParseCommandLine(argc, argv);
  if (arguments.size() != 3) {
    return Refuse("two folders are needed, INPUT and OUTPUT; see --help");
  }
  const path input = arguments[1];
  const path output = arguments[2];
  const auto dtype = tensord::DTypeFromName(absl::GetFlag(FLAGS_dtype));
  if (!dtype.has_value()) {
    return Refuse("--dtype=" + absl::GetFlag(FLAGS_dtype) +
                  " is no dtype, as float16 is one");
  }
  const absl::StatusOr<std::vector<path>> files = NpyFiles(input);
  if (!files.ok()) return Refuse(Text(files.status()));
  std::error_code error;
  std::filesystem::create_directories(output, error);
  if (error) {
    return Refuse("can not make the folder " + output.string() + ": " +
                  error.message());
  }
  auto client = tensord::Client::Connect(absl::GetFlag(FLAGS_target));
  if (!client.ok()) return Refuse(Text(client.status()));

  Converter converter(
      *std::move(client),
      {.dtype = dtype,
       .overflow = absl::GetFlag(FLAGS_saturate) ? tensord::Overflow::kSaturate
                                                 : tensord::Overflow::kTorch},
      output);
  const std::size_t at_once =
      std::max(absl::GetFlag(FLAGS_at_once), std::size_t{1});
  for (const path& file : *files) {
    while (converter.under_way() >= at_once) converter.Advance();
    converter.Start(file);
  }
  while (converter.under_way() > 0) converter.Advance();
  absl::PrintF("%d converted, %d failed\n", converter.converted(),
               converter.failed());
  return converter.failed() == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
