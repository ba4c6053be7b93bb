#include "client/cpp/src/connections.h"

#include "absl/strings/str_cat.h"
#include "client/cpp/src/channel.h"

namespace tensord::client {

Connection::Connection(const std::shared_ptr<grpc::Channel>& channel,
                       const std::string& token)
    : stub_(channel),
      authorization_(token.empty() ? "" : absl::StrCat("Bearer ", token)) {}

void Connection::Prepare(grpc::ClientContext& call,
                         const std::string& traceparent) const {
  if (!authorization_.empty()) {
    call.AddMetadata("authorization", authorization_);
  }
  if (!traceparent.empty()) call.AddMetadata("traceparent", traceparent);
}

Connections::Connections(const std::shared_ptr<grpc::Channel>& first,
                         std::string_view target, const ClientOptions& options)
    : target_(target), options_(options), first_(first, options.token) {}

Connection& Connections::Get(std::size_t i) {
  if (i == 0) return first_;
  MutexLock lock(mutex_);
  while (others_.size() < i) {
    const auto channel = OpenChannel(target_, options_);
    if (!channel.ok()) return first_;
    others_.push_back(std::make_unique<Connection>(*channel, options_.token));
  }
  return *others_[i - 1];
}

}  // namespace tensord::client
