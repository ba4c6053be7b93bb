// The connections of a client.
#ifndef TENSORD_CLIENT_CPP_SRC_CONNECTIONS_H_
#define TENSORD_CLIENT_CPP_SRC_CONNECTIONS_H_

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
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

// What calls are made over. Thread-safe.
class Connection {
 public:
  // `token` may be empty.
  Connection(const std::shared_ptr<grpc::Channel>& channel,
             const std::string& token);

  grpc::GenericStub& stub() { return stub_; }

  // Has a call that is yet to be made say who calls, and, unless it is empty,
  // which trace it belongs to.
  void Prepare(grpc::ClientContext& call, const std::string& traceparent) const;

 private:
  grpc::GenericStub stub_;
  // Empty for no token.
  const std::string authorization_;
};

// Opens those after the first when they are needed. Thread-safe.
class Connections {
 public:
  // `target` and `options` are what `first` was opened with.
  Connections(const std::shared_ptr<grpc::Channel>& first,
              std::string_view target, const ClientOptions& options);

  Connection& first() { return first_; }

  // Connection `i`; the first if that can not be opened.
  Connection& Get(std::size_t i);

 private:
  const std::string target_;
  const ClientOptions options_;
  Connection first_;
  Mutex mutex_;
  // Those after the first.
  std::vector<std::unique_ptr<Connection>> others_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tensord::client

#endif  // TENSORD_CLIENT_CPP_SRC_CONNECTIONS_H_
