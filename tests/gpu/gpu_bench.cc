// How fast tensors move to and from a CUDA device, and are cast on it, beside
// what its copy engines do. Prints a table in Markdown.
//
// What is compared is measured in turn, round by round, and the ratio is that
// of the medians.
#include <cuda_runtime_api.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/device/cuda/find_cuda_devices.h"
#include "core/device/device_backend.h"

namespace tensord {
namespace {

constexpr int kSkipped = 77;
constexpr int kRounds = 9;
constexpr std::size_t kTransferBytes = std::size_t{1} << 30;
constexpr std::int64_t kCastElements = std::int64_t{256} << 20;
// As the server hands over what arrives.
constexpr std::size_t kPieceBytes = std::size_t{4} << 20;

void Require(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
  std::exit(1);
}
void Require(cudaError_t error) {
  if (error == cudaSuccess) return;
  std::fprintf(stderr, "%s\n", cudaGetErrorString(error));
  std::exit(1);
}

double Seconds(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
      .count();
}

double Median(std::vector<double> values) {
  const auto middle =
      values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// Threads that live as long as a call, which takes milliseconds.
void RunOnThreads(std::size_t count,
                  const std::function<void(std::size_t)>& body) {
  std::atomic<std::size_t> next = 0;
  const std::size_t threads =
      std::min<std::size_t>(count, std::thread::hardware_concurrency());
  std::vector<std::jthread> running;
  const auto work = [&] {
    for (std::size_t i = next++; i < count; i = next++) body(i);
  };
  for (std::size_t i = 1; i < threads; ++i) running.emplace_back(work);
  work();
}

class Bench {
 public:
  explicit Bench(DeviceBackend& backend) : backend_(backend) {
    Require(cudaSetDevice(backend.device().index));
    Require(cudaMallocHost(reinterpret_cast<void**>(&pinned_), kTransferBytes));
    Require(cudaMalloc(reinterpret_cast<void**>(&device_), 2 * kTransferBytes));
    Require(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
  }
  ~Bench() {
    cudaStreamDestroy(stream_);
    cudaFree(device_);
    cudaFreeHost(pinned_);
  }

  void Run() {
    std::printf("| | GB/s | of the copy engines |\n|---|---:|---:|\n");
    Uploads();
    Downloads();
    Casts();
  }

 private:
  // Measures `work`, which moves so many bytes, beside `reference`.
  void Measure(const std::string& name, double bytes,
               const std::function<void()>& work, double reference_bytes,
               const std::function<void()>& reference) {
    std::vector<double> rates;
    std::vector<double> reference_rates;
    // The first warms.
    for (int i = 0; i <= kRounds; ++i) {
      const double rate = bytes / Seconds(work);
      const double reference_rate = reference_bytes / Seconds(reference);
      if (i == 0) continue;
      rates.push_back(rate);
      reference_rates.push_back(reference_rate);
    }
    std::printf("| %s | %.1f | %.2f |\n", name.c_str(), Median(rates) / 1e9,
                Median(rates) / Median(reference_rates));
    std::fflush(stdout);
  }

  void Copy(void* dst, const void* src, std::size_t size, cudaMemcpyKind kind) {
    Require(cudaMemcpyAsync(dst, src, size, kind, stream_));
    Require(cudaStreamSynchronize(stream_));
  }

  void Upload(Buffer* buffer, const CastStream::Options& conversion) {
    const auto writer = backend_.NewWriter(
        std::shared_ptr<Buffer>(std::shared_ptr<void>(), buffer), 0,
        conversion);
    absl::Span<const std::byte> rest(host_);
    while (!rest.empty()) {
      const auto piece = rest.subspan(0, kPieceBytes);
      Require(writer->Write(piece));
      rest.remove_prefix(piece.size());
    }
    Require(writer->Finish(nullptr));
  }

  void Uploads() {
    const auto reference = [this] {
      Copy(device_, pinned_, kTransferBytes, cudaMemcpyHostToDevice);
    };
    for (const auto& [name, from, to] :
         {std::tuple("upload, as it is", DType::kFloat32, DType::kFloat32),
          std::tuple("upload of float32 as bfloat16", DType::kFloat32,
                     DType::kBFloat16),
          std::tuple("upload of bfloat16 as float32", DType::kBFloat16,
                     DType::kFloat32)}) {
      const std::shared_ptr<Buffer> buffer =
          *backend_.Allocate(kTransferBytes / ItemSize(from) * ItemSize(to));
      Measure(
          name, kTransferBytes,
          [&, from = from, to = to] {
            Upload(buffer.get(), {.from = from, .to = to});
          },
          kTransferBytes, reference);
    }
  }

  void Downloads() {
    const auto reference = [this] {
      Copy(pinned_, device_, kTransferBytes, cudaMemcpyDeviceToHost);
    };
    const std::shared_ptr<Buffer> buffer = *backend_.Allocate(kTransferBytes);
    const std::int64_t count = kTransferBytes / 4;
    for (const auto& [name, to] :
         {std::pair("download, as it is", DType::kFloat32),
          std::pair("download of float32 as bfloat16", DType::kBFloat16)}) {
      Measure(
          name, kTransferBytes,
          [&, to = to] {
            Require(backend_.ReadToHost(
                {buffer, DType::kFloat32, DenseLayout({count})}, 0, count, to,
                ByteOrder::kLittle, Overflow::kTorch, host_.data(), nullptr));
          },
          kTransferBytes, reference);
    }
  }

  void Cast(const std::string& name, DType from, const Layout& layout,
            DType to) {
    const auto count = static_cast<std::size_t>(ElementCount(layout.shape));
    std::size_t last = 0;
    for (std::size_t i = 0; i < layout.shape.size(); ++i) {
      last +=
          static_cast<std::size_t>((layout.shape[i] - 1) * layout.strides[i]);
    }
    const std::shared_ptr<Buffer> source =
        *backend_.Allocate((last + 1) * ItemSize(from));
    const std::shared_ptr<Buffer> result =
        *backend_.Allocate(count * ItemSize(to));
    const double bytes =
        static_cast<double>(count * (ItemSize(from) + ItemSize(to)));
    Measure(
        name, bytes,
        [&] {
          Require(backend_.Cast({source, from, layout}, to, Overflow::kTorch,
                                *result, nullptr, {}));
        },
        2.0 * kTransferBytes,
        [this] {
          Copy(device_ + kTransferBytes, device_, kTransferBytes,
               cudaMemcpyDeviceToDevice);
        });
  }

  void Casts() {
    const Layout packed = DenseLayout({kCastElements});
    for (const auto& [from, to] :
         {std::pair(DType::kFloat32, DType::kFloat16),
          std::pair(DType::kFloat32, DType::kBFloat16),
          std::pair(DType::kBFloat16, DType::kFloat32),
          std::pair(DType::kFloat32, DType::kFloat8E4M3FN),
          std::pair(DType::kFloat8E5M2, DType::kFloat16),
          std::pair(DType::kFloat64, DType::kFloat32),
          std::pair(DType::kUInt8, DType::kFloat32),
          std::pair(DType::kInt64, DType::kInt32)}) {
      Cast(std::string(Name(from)) + " to " + std::string(Name(to)), from,
           packed, to);
    }
    Cast("float32, every other", DType::kFloat32, {{kCastElements / 4}, {2}, 0},
         DType::kFloat32);
    Cast("float32, transposed", DType::kFloat32, {{8192, 8192}, {1, 8192}, 0},
         DType::kFloat32);
  }

  DeviceBackend& backend_;
  std::vector<std::byte> host_ = std::vector<std::byte>(kTransferBytes);
  std::byte* pinned_ = nullptr;
  std::byte* device_ = nullptr;
  cudaStream_t stream_ = nullptr;
};

int Main() {
  CudaDevices devices = FindCudaDevices(RunOnThreads);
  if (devices.backends.empty()) {
    std::printf("nothing was measured: %s\n",
                devices.support.unavailable.c_str());
    return kSkipped;
  }
  DeviceBackend& backend = *devices.backends.front();
  std::printf("%s, %u processors of the host\n\n",
              backend.description().c_str(),
              std::thread::hardware_concurrency());
  Bench(backend).Run();
  return 0;
}

}  // namespace
}  // namespace tensord

int main() { return tensord::Main(); }
