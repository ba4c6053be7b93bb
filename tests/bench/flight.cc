// Arrow Flight with the same bytes: DoPut and DoGet of one float32 column, to
// and from a server that keeps the batches as they come.
//
// flight serve
// flight client: connect PORT BYTES; upload; download; verify
#include <arrow/array.h>
#include <arrow/buffer.h>
#include <arrow/flight/api.h>
#include <arrow/record_batch.h>
#include <arrow/table.h>
#include <arrow/type.h>

#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/bench/support.h"

namespace tensord::bench {
namespace {

namespace flight = arrow::flight;

// Elements of a batch. Of 256 KiB to 16 MiB, uploads are fastest with 1 MiB;
// downloads gain up to 15 % with 16 MiB.
constexpr std::int64_t kBatchElements = std::int64_t{1} << 18;

template <class T>
T Value(arrow::Result<T> result) {
  Check(result.ok(), result.status().ToString());
  return std::move(result).ValueUnsafe();
}

void Done(const arrow::Status& status) {
  Check(status.ok(), status.ToString());
}

std::shared_ptr<arrow::Schema> TheSchema() {
  return arrow::schema({arrow::field("data", arrow::float32(), false)});
}

using Batches = std::vector<std::shared_ptr<arrow::RecordBatch>>;

class Server final : public flight::FlightServerBase {
 public:
  arrow::Status DoPut(const flight::ServerCallContext&,
                      std::unique_ptr<flight::FlightMessageReader> reader,
                      std::unique_ptr<flight::FlightMetadataWriter>) override {
    Batches batches;
    ARROW_ASSIGN_OR_RAISE(batches, reader->ToRecordBatches());
    const std::lock_guard lock(mutex_);
    batches_ = std::move(batches);
    return arrow::Status::OK();
  }

  arrow::Status DoGet(
      const flight::ServerCallContext&, const flight::Ticket&,
      std::unique_ptr<flight::FlightDataStream>* stream) override {
    const std::lock_guard lock(mutex_);
    ARROW_ASSIGN_OR_RAISE(
        auto reader, arrow::RecordBatchReader::Make(batches_, TheSchema()));
    *stream = std::make_unique<flight::RecordBatchStream>(std::move(reader));
    return arrow::Status::OK();
  }

 private:
  std::mutex mutex_;
  Batches batches_;
};

int Serve() {
  Server server;
  Done(server.Init(flight::FlightServerOptions(
      Value(flight::Location::ForGrpcTcp("127.0.0.1", 0)))));
  AnnouncePort(server.port());
  std::thread serving([&] { Done(server.Serve()); });
  WaitForEndOfInput();
  Done(server.Shutdown());
  serving.join();
  return 0;
}

class Peer {
 public:
  Peer(int port, std::size_t size_bytes)
      : client_(Value(flight::FlightClient::Connect(
            Value(flight::Location::ForGrpcTcp("127.0.0.1", port))))),
        source_(size_bytes) {
    FillWithNumbers(source_.data(), size_bytes);
  }

  double Upload() {
    const auto count =
        static_cast<std::int64_t>(source_.size() / sizeof(float));
    const auto all = std::make_shared<arrow::Buffer>(
        reinterpret_cast<const std::uint8_t*>(source_.data()),
        static_cast<std::int64_t>(source_.size()));
    const auto column = std::make_shared<arrow::FloatArray>(count, all);
    const Timer timer;
    auto put = Value(client_->DoPut(flight::FlightDescriptor::Path({"tensor"}),
                                    TheSchema()));
    for (std::int64_t i = 0; i < count; i += kBatchElements) {
      const auto part = column->Slice(i, kBatchElements);
      Done(put.writer->WriteRecordBatch(
          *arrow::RecordBatch::Make(TheSchema(), part->length(), {part})));
    }
    Done(put.writer->DoneWriting());
    Done(put.writer->Close());
    return timer.Seconds();
  }

  double Download() {
    const Timer timer;
    auto reader = Value(client_->DoGet(flight::Ticket{"tensor"}));
    // Those of the last time are no longer needed once these are there.
    batches_ = Value(reader->ToRecordBatches());
    return timer.Seconds();
  }

  void Verify() {
    Upload();
    Download();
    const std::byte* next = source_.data();
    for (const auto& batch : batches_) {
      const auto& data = *batch->column(0)->data()->buffers[1];
      Check(std::memcmp(next, data.data(),
                        static_cast<std::size_t>(data.size())) == 0,
            "other bytes came back from Flight");
      next += data.size();
    }
    Check(next == source_.data() + source_.size(),
          "not all bytes came back from Flight");
  }

 private:
  std::unique_ptr<flight::FlightClient> client_;
  WarmMemory source_;
  Batches batches_;
};

int Obey() {
  std::unique_ptr<Peer> peer;
  return ServeCommands({
      {"connect",
       [&](const Arguments& arguments) {
         peer = std::make_unique<Peer>(
             static_cast<int>(arguments.Number(0)),
             static_cast<std::size_t>(arguments.Number(1)));
         return Answer{};
       }},
      {"verify",
       [&](const Arguments&) {
         peer->Verify();
         return Answer{};
       }},
      {"upload", [&](const Arguments&) { return Answer{peer->Upload()}; }},
      {"download", [&](const Arguments&) { return Answer{peer->Download()}; }},
  });
}

}  // namespace
}  // namespace tensord::bench

int main(int argc, char** argv) {
  const tensord::bench::Arguments arguments(
      std::vector<std::string>(argv + 1, argv + argc));
  if (arguments.Word(0) == "client") return tensord::bench::Obey();
  return tensord::bench::Serve();
}
