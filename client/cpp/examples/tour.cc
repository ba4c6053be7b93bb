// The calls of the client, one after the other, as the page on clients shows
// them.
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tensord/client.h"

ABSL_FLAG(std::string, target, "localhost:50051", "The server");
ABSL_FLAG(std::string, file, "tour.npy", "A file to be written and read");

namespace {

template <class T>
void Print(const char* what, const std::vector<T>& values) {
  std::cout << what << ':';
  for (const T value : values) std::cout << ' ' << +value;
  std::cout << '\n';
}

absl::Status Tour(const tensord::Client& client, const std::string& file) {
  const std::vector<float> values = {5, 7, 1, 2, 4, 4};
  auto tensor = client.Put<float>(
      values, {2, -1}, {.id = "tour", .dtype = tensord::DType::kBFloat16});
  if (!tensor.ok()) return tensor.status();
  auto doubles = tensor->Get<double>();
  if (!doubles.ok()) return doubles.status();
  Print("as double", *doubles);

  // The second column, as bytes; nothing else travels.
  std::vector<std::uint8_t> column(2);
  absl::Status read = tensor->GetInto<std::uint8_t>(
      column, {.index = {tensord::Ellipsis{}, std::int64_t{1}}});
  if (!read.ok()) return read;
  Print("a column", column);

  // Calls that nobody waits for: many may be under way.
  auto row = tensor->Index({std::int64_t{0}});
  if (!row.ok()) return row.status();
  auto future = row->GetAsync<float>({}, {.timeout = absl::Seconds(5)});
  auto halved = client.PutAsync<float>(values, {-1}, {.ttl = absl::Minutes(1)});
  auto first_row = std::move(future).Get();
  if (!first_row.ok()) return first_row.status();
  Print("a row", *first_row);
  if (auto made = std::move(halved).Get(); !made.ok()) return made.status();

  // Files of any size, piece by piece.
  absl::Status saved =
      tensor->SaveNpy(file, {.dtype = tensord::DType::kFloat32});
  if (!saved.ok()) return saved;
  auto loaded = client.LoadNpy(file, {.dtype = tensord::DType::kInt8});
  if (!loaded.ok()) return loaded.status();
  auto bytes = loaded->Get<std::int8_t>();
  if (!bytes.ok()) return bytes.status();
  Print("from a file", *bytes);

  return tensor->Delete();
}

}  // namespace

int main(int argc, char** argv) {
  absl::SetProgramUsageMessage(
      "Walks through the calls of the client.\n\n"
      "tour --target=localhost:50051 --file=/tmp/tour.npy");
  absl::ParseCommandLine(argc, argv);
  auto client = tensord::Client::Connect(absl::GetFlag(FLAGS_target));
  const absl::Status status =
      client.ok() ? Tour(*client, absl::GetFlag(FLAGS_file)) : client.status();
  if (status.ok()) return EXIT_SUCCESS;
  std::cerr << "tour: "
            << status.ToString(absl::StatusToStringMode::kWithNoExtraData)
            << '\n';
  return EXIT_FAILURE;
}
