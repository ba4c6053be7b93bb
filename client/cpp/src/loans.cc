#include "client/cpp/src/loans.h"

namespace tensord::client {

struct Loans::Loan {
  std::shared_ptr<std::atomic<std::int64_t>> outstanding;
  std::atomic<bool>* lent;
  // Set by who lends, looked at by who returns: orders the two for
  // ThreadSanitizer too, which does not see what happens inside gRPC.
  std::atomic<bool> ready = false;
};

Loans::Loans() : outstanding_(std::make_shared<std::atomic<std::int64_t>>(0)) {}

Loans::~Loans() {
  for (std::int64_t left = outstanding(); left != 0; left = outstanding()) {
    outstanding_->wait(left, std::memory_order_acquire);
  }
}

grpc::Slice Loans::Lend(const std::byte* data, std::size_t size_bytes,
                        std::atomic<bool>* lent) {
  outstanding_->fetch_add(1, std::memory_order_relaxed);
  if (lent != nullptr) lent->store(true, std::memory_order_relaxed);
  auto loan = std::unique_ptr<Loan>(new Loan{outstanding_, lent});
  loan->ready.store(true, std::memory_order_release);
  // gRPC only reads what it sends.
  return grpc::Slice(const_cast<std::byte*>(data), size_bytes, &Return,
                     loan.release());
}

std::int64_t Loans::outstanding() const {
  return outstanding_->load(std::memory_order_acquire);
}

void Loans::Return(void* loan) {
  const std::unique_ptr<Loan> returned(static_cast<Loan*>(loan));
  returned->ready.load(std::memory_order_acquire);
  if (returned->lent != nullptr) {
    returned->lent->store(false, std::memory_order_release);
  }
  returned->outstanding->fetch_sub(1, std::memory_order_acq_rel);
  returned->outstanding->notify_all();
}

}  // namespace tensord::client
