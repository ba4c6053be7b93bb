// A server whose answers a test decides, and a line to it that fails on demand.
#ifndef TENSORD_TESTS_CLIENT_CPP_FAKE_SERVER_H_
#define TENSORD_TESTS_CLIENT_CPP_FAKE_SERVER_H_

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "core/mutex.h"
#include "tensord/v1/tensord.grpc.pb.h"

namespace tensord {

// Answers UNIMPLEMENTED where a test sets nothing, and GetServerInfo with
// `limits`. Set everything before the first call.
class FakeService final : public v1::TensorService::Service {
 public:
  FakeService();

  v1::ServerLimits limits;
  std::function<grpc::Status(const v1::CreateTensorRequest&, v1::Tensor*)>
      create;
  std::function<grpc::Status(grpc::ServerReader<v1::UploadTensorRequest>&,
                             v1::Tensor*)>
      upload;
  std::function<grpc::Status(const v1::ReadTensorRequest&,
                             v1::ReadTensorResponse*)>
      read;
  std::function<grpc::Status(const v1::DownloadTensorRequest&,
                             grpc::ServerWriter<v1::DownloadTensorResponse>&)>
      download;
  std::function<grpc::Status(
      grpc::ServerReaderWriter<v1::ConvertArrayResponse,
                               v1::ConvertArrayRequest>&)>
      convert;
  std::function<grpc::Status(const v1::GetTensorRequest&, v1::Tensor*)> get;
  std::function<grpc::Status(
      grpc::ServerReaderWriter<v1::BatchResponse, v1::BatchRequest>&)>
      batch;

  // Whether the client gave up the call that this thread answers.
  static bool IsCancelled();
  // What that call has under `key`; empty if nothing.
  static std::string Metadata(const std::string& key);

 private:
  grpc::Status GetServerInfo(grpc::ServerContext* context,
                             const v1::GetServerInfoRequest* request,
                             v1::ServerInfo* response) override;
  grpc::Status CreateTensor(grpc::ServerContext* context,
                            const v1::CreateTensorRequest* request,
                            v1::Tensor* response) override;
  grpc::Status UploadTensor(grpc::ServerContext* context,
                            grpc::ServerReader<v1::UploadTensorRequest>* reader,
                            v1::Tensor* response) override;
  grpc::Status ReadTensor(grpc::ServerContext* context,
                          const v1::ReadTensorRequest* request,
                          v1::ReadTensorResponse* response) override;
  grpc::Status DownloadTensor(
      grpc::ServerContext* context, const v1::DownloadTensorRequest* request,
      grpc::ServerWriter<v1::DownloadTensorResponse>* writer) override;
  grpc::Status ConvertArray(
      grpc::ServerContext* context,
      grpc::ServerReaderWriter<v1::ConvertArrayResponse,
                               v1::ConvertArrayRequest>* stream) override;
  grpc::Status GetTensor(grpc::ServerContext* context,
                         const v1::GetTensorRequest* request,
                         v1::Tensor* response) override;
  grpc::Status Batch(
      grpc::ServerContext* context,
      grpc::ServerReaderWriter<v1::BatchResponse, v1::BatchRequest>* stream)
      override;
};

// Serves a FakeService on a loopback port.
class FakeServer {
 public:
  explicit FakeServer(FakeService& service);
  // Cancels the calls under way.
  ~FakeServer();
  std::string target() const;
  int port() const { return port_; }

 private:
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

// Forwards connections to a server until told otherwise. Thread-safe.
class FlakyLine {
 public:
  explicit FlakyLine(int server_port);
  ~FlakyLine();
  FlakyLine(const FlakyLine&) = delete;
  FlakyLine& operator=(const FlakyLine&) = delete;

  std::string target() const;

  enum class Fault { kCut, kCutOnce, kCutEvery, kStall };
  // After `bytes` more, in both directions together, every connection is
  // closed, for good, or so that new ones work, or that those work for as many
  // bytes; or it carries nothing any more.
  void FailAfter(std::int64_t bytes, Fault fault);

  // Connections that were closed by kCutOnce and kCutEvery.
  int cuts() const { return cuts_; }

 private:
  void Serve();
  void Forward(int client);
  // Moves what is there from one socket to the other; false at the end.
  bool Move(int from, int to);

  const int server_port_;
  int listener_ = -1;
  int port_ = 0;
  std::atomic<std::int64_t> bytes_left_;
  std::atomic<std::int64_t> period_ = 0;
  std::atomic<Fault> fault_ = Fault::kCut;
  std::atomic<int> cuts_ = 0;
  std::atomic<bool> stopping_ = false;
  std::thread thread_;
};

}  // namespace tensord

#endif  // TENSORD_TESTS_CLIENT_CPP_FAKE_SERVER_H_
