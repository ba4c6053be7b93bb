#include "client/cpp/src/connections.h"

#include "client/cpp/src/channel.h"

namespace tensord::client {

Connections::Connections(const std::shared_ptr<grpc::Channel>& first,
                         std::string_view target, const ClientOptions& options)
    : target_(target), options_(options), first_(first) {}

grpc::GenericStub& Connections::stub(std::size_t i) {
  if (i == 0) return first_;
  MutexLock lock(mutex_);
  while (others_.size() < i) {
    const auto channel = OpenChannel(target_, options_);
    if (!channel.ok()) return first_;
    others_.push_back(std::make_unique<grpc::GenericStub>(*channel));
  }
  return *others_[i - 1];
}

}  // namespace tensord::client
