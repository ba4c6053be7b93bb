// The connections of a client.
#ifndef TENSORD_CLIENT_CPP_SRC_CONNECTIONS_H_
#define TENSORD_CLIENT_CPP_SRC_CONNECTIONS_H_

#include <grpcpp/channel.h>
#include <grpcpp/generic/generic_stub.h>

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "core/mutex.h"
#include "tensord/client.h"

namespace tensord::client {

// Opens those after the first when they are needed. Thread-safe.
class Connections {
 public:
  // `target` and `options` are what `first` was opened with.
  Connections(const std::shared_ptr<grpc::Channel>& first,
              std::string_view target, const ClientOptions& options);

  // Connection `i`; the first if that can not be opened.
  grpc::GenericStub& stub(std::size_t i);

 private:
  const std::string target_;
  const ClientOptions options_;
  grpc::GenericStub first_;
  Mutex mutex_;
  // Those after the first.
  std::vector<std::unique_ptr<grpc::GenericStub>> others_
      ABSL_GUARDED_BY(mutex_);
};

}  // namespace tensord::client

#endif  // TENSORD_CLIENT_CPP_SRC_CONNECTIONS_H_
