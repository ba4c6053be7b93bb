// A camera that puts its frames into a server, each in the place of the one
// before: whoever reads the tensor gets the newest. The frames are uint8, of
// shape [height, width, 3], and are stored as another dtype.
//
// A camera does not wait. While a frame is on its way those that come are
// dropped, so that what the server gets is never older than that, and memory
// does not grow. When the camera goes, its last frame does so too, after --ttl.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tensord/client.h"

ABSL_FLAG(std::string, target, "localhost:50051", "The server");
ABSL_FLAG(std::string, id, "camera/0", "The tensor that has the newest frame");
ABSL_FLAG(std::string, dtype, "float16",
          "What frames are stored as: float16, bfloat16, ...");
ABSL_FLAG(int, width, 1280, "Pixels in a row");
ABSL_FLAG(int, height, 720, "Rows");
ABSL_FLAG(double, rate, 30, "Frames per second");
ABSL_FLAG(int, frames, 300, "Frames until the camera stops");
ABSL_FLAG(absl::Duration, ttl, absl::Seconds(10),
          "How long the server keeps a frame that no other replaces");

namespace {

using PutFuture = tensord::Future<absl::StatusOr<tensord::RemoteTensor>>;

// What would come from a device: a pattern that moves by a pixel with each
// frame.
void Draw(int frame, int height, int width, std::uint8_t* pixel) {
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (int channel = 0; channel < 3; ++channel) {
        *pixel++ = static_cast<std::uint8_t>(y + x + channel + frame);
      }
    }
  }
}

// Errors that pass: the next frame may well arrive.
bool IsBusy(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) ||
         absl::IsResourceExhausted(status);
}

int Fail(const absl::Status& status) {
  std::cerr << "camera: "
            << status.ToString(absl::StatusToStringMode::kWithNoExtraData)
            << '\n';
  return EXIT_FAILURE;
}

}  // namespace

int main(int argc, char** argv) {
  absl::SetProgramUsageMessage(
      "Puts frames of a made-up camera into a tensord server.\n"
      "camera --target=localhost:50051 --rate=30 --dtype=bfloat16");
  absl::ParseCommandLine(argc, argv);
  const int height = absl::GetFlag(FLAGS_height);
  const int width = absl::GetFlag(FLAGS_width);
  const int frames = absl::GetFlag(FLAGS_frames);
  const double rate = absl::GetFlag(FLAGS_rate);
  const auto dtype = tensord::DTypeFromName(absl::GetFlag(FLAGS_dtype));
  if (height <= 0 || width <= 0 || frames < 0 || !(rate > 0)) {
    return Fail(absl::InvalidArgumentError(
        "--height, --width and --rate have to be positive"));
  }
  if (!dtype.has_value()) {
    return Fail(
        absl::InvalidArgumentError("--dtype=" + absl::GetFlag(FLAGS_dtype) +
                                   " is no dtype, as float16 is one"));
  }
  const auto client = tensord::Client::Connect(absl::GetFlag(FLAGS_target));
  if (!client.ok()) return Fail(client.status());

  const tensord::CreateOptions options = {.id = absl::GetFlag(FLAGS_id),
                                          .dtype = dtype,
                                          .ttl = absl::GetFlag(FLAGS_ttl),
                                          .replace = true};
  // A frame that did not arrive is not worth another attempt: the next one is
  // newer.
  const tensord::CallOptions call = {.timeout = absl::Seconds(1),
                                     .max_attempts = 1};
  std::vector<std::uint8_t> pixels(std::size_t(height) * std::size_t(width) *
                                   3);
  int put = 0;
  int dropped = 0;
  int refused = 0;
  // The frame on its way, if there is one. Until it has arrived its pixels have
  // to stay as they are.
  std::optional<PutFuture> on_its_way;
  const auto take_result = [&]() -> absl::Status {
    if (!on_its_way.has_value()) return absl::OkStatus();
    const auto tensor = (*std::exchange(on_its_way, std::nullopt)).Get();
    if (!tensor.ok() && !IsBusy(tensor.status())) return tensor.status();
    ++(tensor.ok() ? put : refused);
    return absl::OkStatus();
  };

  const absl::Time start = absl::Now();
  for (int frame = 0; frame < frames; ++frame) {
    absl::SleepFor(start + frame * absl::Seconds(1 / rate) - absl::Now());
    if (on_its_way.has_value() && !on_its_way->is_ready()) {
      ++dropped;
      continue;
    }
    if (absl::Status status = take_result(); !status.ok()) return Fail(status);
    Draw(frame, height, width, pixels.data());
    on_its_way.emplace(client->PutAsync<std::uint8_t>(
        pixels, {height, width, 3}, options, call));
  }
  if (absl::Status status = take_result(); !status.ok()) return Fail(status);

  const double seconds = absl::ToDoubleSeconds(absl::Now() - start);
  absl::PrintF(
      "%d frames in %.2f s: %d put (%.1f per second, %.1f MB/s), %d dropped, "
      "%d refused\n",
      frames, seconds, put, put / seconds,
      put * static_cast<double>(pixels.size()) / seconds / 1e6, dropped,
      refused);
  return put > 0 || frames == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
