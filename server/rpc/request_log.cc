#include "server/rpc/request_log.h"

#include <new>
#include <optional>

#include "absl/hash/hash.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "core/crc32c.h"
#include "core/error.h"

namespace tensord {
namespace {

absl::Status InProgress() {
  return MakeError(absl::StatusCode::kAborted, reason::kRequestInProgress,
                   "the same request is being worked on");
}

absl::Status BadRequestId(std::string_view id) {
  return InvalidArgument(
      reason::kRequestIdInvalid,
      absl::StrCat("a request id has to be a UUID, not ", QuoteForMessage(id)),
      "request_id");
}

// The value of a hexadecimal digit; nothing of another character.
std::optional<std::uint8_t> HexDigit(char c) {
  if (c >= '0' && c <= '9') return static_cast<std::uint8_t>(c - '0');
  const char lower = absl::ascii_tolower(static_cast<unsigned char>(c));
  if (lower >= 'a' && lower <= 'f') {
    return static_cast<std::uint8_t>(lower - 'a' + 10);
  }
  return std::nullopt;
}

// A UUID as RFC 9562 writes it, in either case.
absl::StatusOr<RequestId> ParseRequestId(std::string_view text) {
  constexpr std::size_t kTextSize = 36;
  if (text.size() != kTextSize) return BadRequestId(text);
  RequestId id{};
  std::size_t digits = 0;
  for (std::size_t i = 0; i < kTextSize; ++i) {
    if (i == 8 || i == 13 || i == 18 || i == 23) {
      if (text[i] != '-') return BadRequestId(text);
      continue;
    }
    const std::optional<std::uint8_t> digit = HexDigit(text[i]);
    if (!digit.has_value()) return BadRequestId(text);
    std::uint8_t& byte = id[digits++ / 2];
    byte = static_cast<std::uint8_t>(byte << 4 | *digit);
  }
  return id;
}

}  // namespace

RequestLog::Ticket& RequestLog::Ticket::operator=(Ticket&& other) noexcept {
  if (this == &other) return *this;
  if (log_ != nullptr) log_->Forget(id_);
  log_ = std::exchange(other.log_, nullptr);
  id_ = other.id_;
  return *this;
}

RequestLog::Ticket::~Ticket() {
  if (log_ != nullptr) log_->Forget(id_);
}

void RequestLog::Ticket::Answer(std::string answer) && noexcept {
  if (log_ == nullptr) return;
  const absl::Time end = log_->clock_() + kAnswerLifetime;
  MutexLock lock(log_->mutex_);
  try {
    log_->entries_[id_].answer =
        std::make_shared<const std::string>(std::move(answer));
    log_->answered_.emplace_back(end, id_);
  } catch (const std::bad_alloc&) {
    log_->entries_.erase(id_);
    log_ = nullptr;
    return;
  }
  if (log_->answered_.size() > kMaxAnswers) {
    log_->entries_.erase(log_->answered_.front().second);
    log_->answered_.pop_front();
  }
  log_ = nullptr;
}

void RequestLog::Ticket::Answer(
    const google::protobuf::MessageLite& answer) && noexcept {
  try {
    std::move(*this).Answer(answer.SerializeAsString());
  } catch (const std::bad_alloc&) {
    *this = Ticket();
  }
}

void RequestLog::Forget(const RequestId& id) {
  MutexLock lock(mutex_);
  entries_.erase(id);
}

void RequestLog::DropExpired(absl::Time now) {
  while (!answered_.empty() && answered_.front().first <= now) {
    entries_.erase(answered_.front().second);
    answered_.pop_front();
  }
}

absl::StatusOr<RequestLog::Begun> RequestLog::Begin(std::string_view request_id,
                                                    std::uint64_t digest) {
  if (request_id.empty()) return Begun();
  const absl::StatusOr<RequestId> id = ParseRequestId(request_id);
  if (!id.ok()) return id.status();
  const absl::Time now = clock_();
  MutexLock lock(mutex_);
  DropExpired(now);
  // A table that grows holds all calls up: for 4 ms once it has some ten
  // thousand ids.
  if (entries_.empty()) entries_.reserve(kMaxAnswers);
  const auto [it, is_new] =
      entries_.try_emplace(*id, Entry{.digest = digest, .answer = {}});
  if (is_new) return Begun{Ticket(this, *id), nullptr};
  if (it->second.digest != digest) {
    return MakeError(absl::StatusCode::kFailedPrecondition,
                     reason::kRequestIdReused,
                     absl::StrCat("the id ", QuoteForMessage(request_id),
                                  " belongs to another request"));
  }
  if (it->second.answer == nullptr) return InProgress();
  return Begun{Ticket(), it->second.answer};
}

absl::StatusOr<RequestLog::Answered> RequestLog::Find(
    std::string_view request_id) const {
  const absl::StatusOr<RequestId> id = ParseRequestId(request_id);
  if (!id.ok()) return id.status();
  MutexLock lock(mutex_);
  const auto it = entries_.find(*id);
  if (it == entries_.end()) return Answered();
  if (it->second.answer == nullptr) return InProgress();
  return it->second.answer;
}

absl::Status CheckRequestId(std::string_view id) {
  return id.empty() ? absl::OkStatus() : ParseRequestId(id).status();
}

std::uint64_t RequestDigest(const google::protobuf::MessageLite& request) {
  const std::string bytes = request.SerializeAsString();
  return absl::HashOf(request.GetTypeName(), bytes.size(), Crc32c(bytes));
}

}  // namespace tensord
