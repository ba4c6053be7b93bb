#include "server/observe/call_record.h"

#include <utility>

#include "core/tsan.h"

namespace tensord {
namespace {

class RecordedContext final : public grpc::CallbackServerContext {
 public:
  std::shared_ptr<CallRecord> record;
  std::shared_ptr<void> kept;
};

class RecordedContexts final : public grpc::ContextAllocator {
 public:
  grpc::CallbackServerContext* NewCallbackServerContext() override {
    grpc::CallbackServerContext* const context = new RecordedContext;
    HandOver(context);
    return context;
  }
  // gRPC also releases contexts of its own here: those of unknown methods.
  void Release(grpc::CallbackServerContext* context) override {
    TakeOver(context);
    delete dynamic_cast<RecordedContext*>(context);
  }
};

}  // namespace

std::unique_ptr<grpc::ContextAllocator> NewContextAllocator() {
  return std::make_unique<RecordedContexts>();
}

bool SetRecord(grpc::ServerContextBase& call,
               std::shared_ptr<CallRecord> record) {
  auto* const context = dynamic_cast<RecordedContext*>(&call);
  if (context == nullptr) return false;
  context->record = std::move(record);
  return true;
}

void KeepWith(grpc::CallbackServerContext& call, std::shared_ptr<void> kept) {
  auto* const context = dynamic_cast<RecordedContext*>(&call);
  if (context == nullptr) return;
  context->kept = std::move(kept);
  HandOver(&call);
}

CallRecord* RecordOf(grpc::CallbackServerContext& call) {
  auto* const context = dynamic_cast<RecordedContext*>(&call);
  return context != nullptr ? context->record.get() : nullptr;
}

}  // namespace tensord
