#include "server/rpc/tenant.h"

#include <utility>

#include "server/rpc/uploads.h"

namespace tensord {

Tenant::Tenant(std::string name, const ServiceContext& context,
               std::int64_t max_calls)
    : name_(std::move(name)),
      context_(context),
      allocator_(*context_.devices, *context_.quotas, context_.own_quotas,
                 context_.limits.max_tensor_bytes,
                 // What nobody can get any more, then what its client has to
                 // send again, then what others may miss.
                 [this](Device device) {
                   return context_.store->SweepSome().has_value() ||
                          context_.uploads->DropOldest(device) ||
                          context_.store->Evict(device);
                 }),
      calls_(context_, allocator_),
      call_limit_(max_calls) {}

}  // namespace tensord
