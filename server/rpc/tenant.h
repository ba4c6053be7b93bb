// What the calls of one tenant work with.
#ifndef TENSORD_SERVER_RPC_TENANT_H_
#define TENSORD_SERVER_RPC_TENANT_H_

#include <cstdint>
#include <string>

#include "server/access/call_limit.h"
#include "server/rpc/buffer_allocator.h"
#include "server/rpc/service_context.h"
#include "server/rpc/tensor_calls.h"

namespace tensord {

// Thread-safe.
class Tenant {
 public:
  // What `context` points to outlives the tenant. An empty name is that of
  // everybody, where callers are not told apart.
  Tenant(std::string name, const ServiceContext& context,
         std::int64_t max_calls);
  Tenant(const Tenant&) = delete;
  Tenant& operator=(const Tenant&) = delete;

  const std::string& name() const { return name_; }
  const ServiceContext& context() const { return context_; }
  BufferAllocator& allocator() { return allocator_; }
  TensorCalls& calls() { return calls_; }
  CallLimit& call_limit() { return call_limit_; }
  const CallLimit& call_limit() const { return call_limit_; }

 private:
  const std::string name_;
  const ServiceContext context_;
  BufferAllocator allocator_;
  TensorCalls calls_;
  CallLimit call_limit_;
};

}  // namespace tensord

#endif  // TENSORD_SERVER_RPC_TENANT_H_
