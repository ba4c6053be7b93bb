#include "core/store/tensor_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <new>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/error.h"
#include "tests/core/store/list_stored.h"

namespace tensord {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::MatchesRegex;

constexpr Autograd kLeaf{.requires_grad = true, .grad_fn = {}};

// A tensor of one element; `owner` goes with its memory.
Tensor MakeTensor(DType dtype = DType::kFloat32,
                  std::shared_ptr<void> owner = nullptr) {
  static std::byte memory[16];
  return Tensor(dtype, DenseLayout({1}),
                std::make_shared<const Buffer>(
                    kCpuDevice, memory, sizeof memory, std::move(owner)));
}

class TensorStoreTest : public testing::Test {
 protected:
  std::shared_ptr<const StoredTensor> Put(
      std::string_view id, std::optional<absl::Duration> ttl = std::nullopt,
      std::shared_ptr<void> owner = nullptr) {
    auto claim = store_.ClaimId(id);
    EXPECT_TRUE(claim.ok()) << claim.status();
    if (!claim.ok()) return nullptr;
    return *(*std::move(claim))
                .Commit(MakeTensor(DType::kFloat32, std::move(owner)),
                        {.ttl = ttl});
  }

  std::shared_ptr<const StoredTensor> PutLeased(std::string_view id,
                                                absl::Duration lease) {
    auto claim = store_.ClaimId(id);
    EXPECT_TRUE(claim.ok()) << claim.status();
    return *(*std::move(claim)).Commit(MakeTensor(), {.lease = lease});
  }

  // Replaces by a tensor of int64, or says why not.
  absl::Status Replace(std::string_view id, std::string_view if_match = "") {
    auto claim = store_.ClaimId(
        id, {.replace = true, .if_match = std::string(if_match)});
    if (!claim.ok()) return claim.status();
    return (*std::move(claim)).Commit(MakeTensor(DType::kInt64), {}).status();
  }

  std::vector<std::string> ListIds(std::string_view after = "",
                                   std::size_t limit = 100) {
    std::vector<std::string> ids;
    for (const auto& stored : ListStored(store_, after, limit)) {
      ids.push_back(stored->id);
    }
    return ids;
  }

  void Pass(absl::Duration time) { now_ += time; }

  static void ExpectRefused(const absl::Status& status, absl::StatusCode code,
                            std::string_view reason) {
    EXPECT_EQ(status.code(), code) << status;
    EXPECT_EQ(GetErrorReason(status), reason);
  }

  absl::Time now_ = absl::FromUnixSeconds(1000);
  TensorStore store_{{.clock = [this] { return now_; }}};
};

TEST(CheckTensorIdTest, AcceptsTheWholeAlphabet) {
  for (const std::string& id :
       {std::string("a"), std::string("w/0"), std::string("a.b_c-d~e:f/9Z"),
        std::string("..."), std::string("a/.b/..c"), std::string(255, 'x')}) {
    EXPECT_TRUE(CheckTensorId(id).ok()) << id;
  }
}

TEST(CheckTensorIdTest, RefusesEverythingElse) {
  using std::string_literals::operator""s;
  for (const std::string& id :
       {""s,       "/"s,    "/a"s,     "a/"s,        "a//b"s,
        "."s,      ".."s,   "a/../b"s, "a/."s,       "./a"s,
        "a\0b"s,   "a\nb"s, "a b"s,    "a\xc3\xa9"s, "\xf0\x9f\x98\x80"s,
        "%2e%2e"s, "a\\b"s, "a,b"s,    "a*"s,        std::string(256, 'x')}) {
    const absl::Status status = CheckTensorId(id);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << id;
    EXPECT_EQ(GetErrorReason(status), reason::kNameInvalid) << id;
  }
}

TEST(CheckTensorIdTest, RefusesEveryOtherByte) {
  const std::string_view allowed =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-~:/";
  for (int c = 0; c < 256; ++c) {
    const std::string id = {'a', static_cast<char>(c), 'b'};
    EXPECT_EQ(CheckTensorId(id).ok(),
              allowed.find(static_cast<char>(c)) != std::string_view::npos)
        << c;
  }
}

TEST(CheckTensorIdTest, RepeatsHostileTextEscapedAndCut) {
  const std::string message(CheckTensorId("a\nb").message());
  EXPECT_THAT(message, testing::HasSubstr("'a\\nb'"));
  EXPECT_LT(CheckTensorId(std::string(100000, '\n')).message().size(), 600);
}

TEST_F(TensorStoreTest, KeepsWhatIsCommitted) {
  const auto stored = Put("w/0");
  EXPECT_EQ(stored->id, "w/0");
  EXPECT_EQ(stored->create_time, now_);
  EXPECT_EQ(stored->update_time, now_);
  EXPECT_EQ(stored->expire_time, absl::InfiniteFuture());
  EXPECT_THAT(stored->etag, MatchesRegex("[0-9a-f]{16}"));
  const auto found = store_.Get("w/0");
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(*found, stored);
  EXPECT_EQ(store_.size(), 1);
}

TEST_F(TensorStoreTest, ShowsNothingBeforeCommit) {
  auto claim = store_.ClaimId("a");
  ASSERT_TRUE(claim.ok());
  EXPECT_EQ(claim->id(), "a");
  ExpectRefused(store_.Get("a").status(), absl::StatusCode::kNotFound,
                reason::kTensorNotFound);
  EXPECT_THAT(ListIds(), IsEmpty());
  EXPECT_EQ(store_.size(), 0);
}

TEST_F(TensorStoreTest, ClaimsAreExclusive) {
  auto claim = store_.ClaimId("a");
  ASSERT_TRUE(claim.ok());
  ExpectRefused(store_.ClaimId("a").status(), absl::StatusCode::kAborted,
                reason::kUploadConflict);
  EXPECT_TRUE(store_.ClaimId("b").ok());
  ASSERT_TRUE(std::move(*claim).Commit(MakeTensor(), {}).ok());
  ExpectRefused(store_.ClaimId("a").status(), absl::StatusCode::kAlreadyExists,
                reason::kTensorExists);
}

TEST_F(TensorStoreTest, ClaimsEndWithTheirHolder) {
  {
    auto claim = store_.ClaimId("a");
    ASSERT_TRUE(claim.ok());
    const TensorStore::Claim moved = *std::move(claim);
    EXPECT_FALSE(store_.ClaimId("a").ok());
  }
  EXPECT_TRUE(store_.ClaimId("a").ok());
}

TEST_F(TensorStoreTest, ClaimRefusesBadIds) {
  ExpectRefused(store_.ClaimId("a//b").status(),
                absl::StatusCode::kInvalidArgument, reason::kNameInvalid);
}

TEST_F(TensorStoreTest, MakesUpIds) {
  std::set<std::string> ids;
  for (int i = 0; i < 100; ++i) {
    const auto stored = Put("");
    EXPECT_THAT(stored->id, MatchesRegex("t-[0-9a-f]{16}"));
    EXPECT_TRUE(ids.insert(stored->id).second);
    EXPECT_TRUE(store_.Get(stored->id).ok());
  }
}

TEST_F(TensorStoreTest, DeleteUnlinks) {
  auto memory = std::make_shared<int>();
  const std::weak_ptr<int> watched = memory;
  Put("a", std::nullopt, std::move(memory));
  auto reader = *store_.Get("a");
  EXPECT_TRUE(store_.Delete("a", "").ok());
  EXPECT_FALSE(store_.Get("a").ok());
  EXPECT_FALSE(watched.expired()) << "a reader still has it";
  reader.reset();
  EXPECT_TRUE(watched.expired());
  ExpectRefused(store_.Delete("a", ""), absl::StatusCode::kNotFound,
                reason::kTensorNotFound);
  EXPECT_NE(Put("a"), nullptr);
}

TEST_F(TensorStoreTest, DeleteChecksTheEtag) {
  const auto stored = Put("a");
  ExpectRefused(store_.Delete("a", "0"), absl::StatusCode::kAborted,
                reason::kEtagMismatch);
  EXPECT_TRUE(store_.Get("a").ok());
  EXPECT_TRUE(store_.Delete("a", stored->etag).ok());
}

TEST_F(TensorStoreTest, UpdateReplaces) {
  const auto before = Put("a");
  Pass(absl::Seconds(1));
  const auto after = store_.Update("a", before->etag, {.requires_grad = true});
  ASSERT_TRUE(after.ok()) << after.status();
  EXPECT_EQ((*after)->tensor.autograd(), kLeaf);
  EXPECT_EQ((*after)->tensor.buffer(), before->tensor.buffer());
  EXPECT_EQ((*after)->create_time, before->create_time);
  EXPECT_EQ((*after)->update_time, now_);
  EXPECT_EQ((*after)->expire_time, absl::InfiniteFuture());
  EXPECT_NE((*after)->etag, before->etag);
  EXPECT_EQ(*store_.Get("a"), *after);
  EXPECT_FALSE(before->tensor.requires_grad()) << "readers keep what they got";
  EXPECT_EQ(store_.size(), 1);
}

TEST_F(TensorStoreTest, UpdateRefusesWithoutATrace) {
  const auto stored = Put("a");
  ExpectRefused(store_.Update("a", "0", {}).status(),
                absl::StatusCode::kAborted, reason::kEtagMismatch);
  ExpectRefused(store_.Update("b", "", {}).status(),
                absl::StatusCode::kNotFound, reason::kTensorNotFound);
  auto claim = store_.ClaimId("i");
  ASSERT_TRUE(std::move(*claim).Commit(MakeTensor(DType::kInt64), {}).ok());
  const auto integers = *store_.Get("i");
  ExpectRefused(
      store_.Update("i", "", {.requires_grad = true, .expire_time = now_})
          .status(),
      absl::StatusCode::kInvalidArgument, reason::kGradDtype);
  EXPECT_EQ(*store_.Get("i"), integers);
  EXPECT_EQ(*store_.Get("a"), stored);
}

TEST_F(TensorStoreTest, WhatIsReplacedIsThereUntilTheCommit) {
  auto memory = std::make_shared<int>();
  const std::weak_ptr<int> watched = memory;
  const auto before = *store_.Get(Put("a", {}, std::move(memory))->id);
  Pass(absl::Seconds(1));
  auto claim = store_.ClaimId("a", {.replace = true});
  ASSERT_TRUE(claim.ok());
  EXPECT_EQ(*store_.Get("a"), before);
  EXPECT_THAT(ListIds(), ElementsAre("a"));
  const auto after = std::move(*claim).Commit(MakeTensor(DType::kInt64), {});
  ASSERT_TRUE(after.ok()) << after.status();
  EXPECT_EQ(*store_.Get("a"), *after);
  EXPECT_EQ((*after)->create_time, now_);
  EXPECT_NE((*after)->etag, before->etag);
  EXPECT_EQ(store_.size(), 1);
  EXPECT_FALSE(watched.expired()) << "a reader still has it";
}

TEST_F(TensorStoreTest, PreparesBeforeOthersSee) {
  const auto before = Put("a");
  auto claim = store_.ClaimId("a", {.replace = true});
  ASSERT_TRUE(claim.ok());
  std::string etag;
  const auto after = std::move(*claim).Commit(
      MakeTensor(DType::kInt64), {}, [&](const StoredTensor& stored) {
        EXPECT_EQ(*store_.Get("a"), before);
        EXPECT_EQ(stored.id, "a");
        EXPECT_EQ(stored.tensor.dtype(), DType::kInt64);
        etag = stored.etag;
      });
  ASSERT_TRUE(after.ok()) << after.status();
  EXPECT_EQ((*store_.Get("a"))->etag, etag);
}

TEST_F(TensorStoreTest, WhatCannotBePreparedIsNotStored) {
  for (const bool replaces : {false, true}) {
    const auto before = replaces ? Put("a") : nullptr;
    {
      auto claim = store_.ClaimId("a", {.replace = replaces});
      ASSERT_TRUE(claim.ok());
      EXPECT_THROW((void)std::move(*claim).Commit(
                       MakeTensor(DType::kInt64), {},
                       [](const StoredTensor&) { throw std::bad_alloc(); }),
                   std::bad_alloc);
    }
    const auto after = store_.Get("a");
    EXPECT_EQ(after.ok() ? *after : nullptr, before);
    EXPECT_TRUE(store_.ClaimId("a", {.replace = replaces}).ok());
  }
}

TEST_F(TensorStoreTest, WhatIsNotReplacedStays) {
  const auto before = Put("a");
  EXPECT_TRUE(store_.ClaimId("a", {.replace = true}).ok());
  EXPECT_EQ(*store_.Get("a"), before);
  ExpectRefused(store_.ClaimId("a").status(), absl::StatusCode::kAlreadyExists,
                reason::kTensorExists);
}

TEST_F(TensorStoreTest, ReplacesWhatIsThereOrNothing) {
  EXPECT_TRUE(Replace("a").ok());
  EXPECT_TRUE(Replace("a").ok());
  Put("b", absl::Seconds(1));
  EXPECT_TRUE(Replace("b").ok());
  Pass(absl::Seconds(1));
  EXPECT_EQ(store_.Sweep(), 0U) << "the lifetime went with the old one";
  Put("c", absl::Seconds(1));
  auto claim = store_.ClaimId("c", {.replace = true});
  ASSERT_TRUE(store_.Delete("c", "").ok());
  EXPECT_TRUE(std::move(*claim).Commit(MakeTensor(), {}).ok());
  EXPECT_THAT(ListIds(), ElementsAre("a", "b", "c"));
}

TEST_F(TensorStoreTest, ClaimsToReplaceAreExclusiveToo) {
  Put("a");
  const auto claim = store_.ClaimId("a", {.replace = true});
  ExpectRefused(store_.ClaimId("a", {.replace = true}).status(),
                absl::StatusCode::kAborted, reason::kUploadConflict);
}

TEST_F(TensorStoreTest, ReplacesNothingWithoutAnId) {
  for (const ClaimOptions& options :
       {ClaimOptions{.replace = true}, ClaimOptions{.if_match = "0"}}) {
    ExpectRefused(store_.ClaimId("", options).status(),
                  absl::StatusCode::kInvalidArgument, reason::kNameInvalid);
  }
}

TEST_F(TensorStoreTest, ReplacesOnlyTheTensorThatIsMeant) {
  ExpectRefused(Replace("a", "0"), absl::StatusCode::kNotFound,
                reason::kTensorNotFound);
  const auto first = Put("a", absl::Seconds(1));
  ExpectRefused(Replace("a", "0"), absl::StatusCode::kAborted,
                reason::kEtagMismatch);
  EXPECT_EQ(*store_.Get("a"), first);
  EXPECT_TRUE(Replace("a", first->etag).ok());
  ExpectRefused(Replace("a", first->etag), absl::StatusCode::kAborted,
                reason::kEtagMismatch);
  const auto expired = Put("b", absl::Seconds(1));
  Pass(absl::Seconds(1));
  ExpectRefused(Replace("b", expired->etag), absl::StatusCode::kNotFound,
                reason::kTensorNotFound);
}

TEST_F(TensorStoreTest, LooksAgainAtTheTensorThatIsMeant) {
  const auto commit = [&](const auto& meddle) {
    const auto stored = Put("a", absl::Seconds(10));
    auto claim = store_.ClaimId("a", {.if_match = stored->etag});
    EXPECT_TRUE(claim.ok());
    meddle();
    return std::move(*claim).Commit(MakeTensor(DType::kInt64), {}).status();
  };
  ExpectRefused(commit([&] { (void)store_.Update("a", "", {}); }),
                absl::StatusCode::kAborted, reason::kEtagMismatch);
  EXPECT_EQ((*store_.Get("a"))->tensor.dtype(), DType::kFloat32);
  ASSERT_TRUE(store_.Delete("a", "").ok());
  ExpectRefused(commit([&] { (void)store_.Delete("a", ""); }),
                absl::StatusCode::kNotFound, reason::kTensorNotFound);
  ExpectRefused(commit([&] { Pass(absl::Seconds(10)); }),
                absl::StatusCode::kNotFound, reason::kTensorNotFound);
  store_.Sweep();
  EXPECT_EQ(store_.size(), 0U);
  EXPECT_TRUE(store_.ClaimId("a").ok());
}

// Of all who replace the same tensor one gets through.
TEST(TensorStoreStressTest, OneOfManyReplacesTheTensorThatIsMeant) {
  constexpr int kThreads = 4;
  constexpr int kRounds = 2000;
  TensorStore store;
  std::atomic<int> replaced{0};
  auto first = store.ClaimId("a");
  ASSERT_TRUE(std::move(*first).Commit(MakeTensor(), {}).ok());
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < kRounds; ++i) {
          const auto current = store.Get("a");
          ASSERT_TRUE(current.ok()) << "there is always a tensor";
          auto claim = store.ClaimId("a", {.if_match = (*current)->etag});
          if (!claim.ok()) continue;
          const auto stored = std::move(*claim).Commit(MakeTensor(), {});
          if (stored.ok()) ++replaced;
          EXPECT_TRUE(stored.ok()) << "nobody else can have changed it";
        }
      });
    }
  }
  EXPECT_GT(replaced, 0);
  EXPECT_EQ(store.size(), 1U);
}

TEST_F(TensorStoreTest, ExpiredTensorsAreGone) {
  const auto stored = Put("a", absl::Seconds(10));
  EXPECT_EQ(stored->expire_time, now_ + absl::Seconds(10));
  Pass(absl::Seconds(10) - absl::Nanoseconds(1));
  EXPECT_TRUE(store_.Get("a").ok());
  EXPECT_THAT(ListIds(), ElementsAre("a"));
  Pass(absl::Nanoseconds(1));
  EXPECT_EQ(store_.Get("a").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(store_.Update("a", "", {}).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(store_.Delete("a", "").code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(ListIds(), IsEmpty());
  EXPECT_EQ(store_.size(), 1) << "until it is swept";
}

TEST_F(TensorStoreTest, ExpiredTensorsLeaveTheirIdToOthers) {
  auto memory = std::make_shared<int>();
  const std::weak_ptr<int> watched = memory;
  Put("a", absl::Seconds(10), std::move(memory));
  Pass(absl::Seconds(10));
  const auto second = Put("a");
  EXPECT_TRUE(watched.expired());
  EXPECT_EQ(*store_.Get("a"), second);
  EXPECT_EQ(store_.size(), 1);
  EXPECT_EQ(store_.Sweep(), 0);
}

TEST_F(TensorStoreTest, SweepDropsWhatHasExpired) {
  auto memory = std::make_shared<int>();
  const std::weak_ptr<int> watched = memory;
  Put("a", absl::Seconds(10), std::move(memory));
  Put("b", absl::Seconds(10));
  Put("c", absl::Seconds(20));
  Put("d");
  EXPECT_EQ(store_.Sweep(), 0);
  Pass(absl::Seconds(10));
  EXPECT_EQ(store_.Sweep(), 2);
  EXPECT_TRUE(watched.expired());
  EXPECT_THAT(ListIds(), ElementsAre("c", "d"));
  EXPECT_EQ(store_.size(), 2);
  Pass(kMaxTtl);
  EXPECT_EQ(store_.Sweep(), 1);
  EXPECT_THAT(ListIds(), ElementsAre("d"));
}

TEST_F(TensorStoreTest, SweepsSomeAtATime) {
  constexpr std::size_t kTensors = 1000;
  for (std::size_t i = 0; i < kTensors; ++i) {
    Put(absl::StrCat(i), absl::Seconds(10));
  }
  EXPECT_EQ(store_.SweepSome(), std::nullopt);
  Pass(absl::Seconds(10));
  std::size_t swept = 0;
  int times = 0;
  while (const auto some = store_.SweepSome()) {
    swept += *some;
    ++times;
    EXPECT_EQ(store_.size(), kTensors - swept);
  }
  EXPECT_EQ(swept, kTensors);
  EXPECT_GT(times, 5);
}

TEST_F(TensorStoreTest, SweepsNothingOfRenewedLeases) {
  PutLeased("a", absl::Seconds(10));
  Pass(absl::Seconds(9));
  ASSERT_TRUE(store_.Use("a").ok());
  Pass(absl::Seconds(9));
  EXPECT_EQ(store_.SweepSome(), 0U) << "it was due";
  EXPECT_EQ(store_.SweepSome(), std::nullopt);
  EXPECT_TRUE(store_.Get("a").ok());
}

// How many tensors a store has left when the first of it expires.
struct SizeAtExpiry final : StoreEvents {
  void Expired(Device) override {
    if (!size.has_value()) size = store->size();
  }
  void Evicted(Device) override {}
  const TensorStore* store = nullptr;
  std::optional<std::size_t> size;
};

TEST_F(TensorStoreTest, SweepLetsOthersGetToTheStore) {
  constexpr std::size_t kTensors = 1000;
  SizeAtExpiry events;
  TensorStore store({.clock = [this] { return now_; }, .events = &events});
  events.store = &store;
  for (std::size_t i = 0; i < kTensors; ++i) {
    auto claim = store.ClaimId(absl::StrCat(i));
    ASSERT_TRUE((*std::move(claim))
                    .Commit(MakeTensor(), {.ttl = absl::Seconds(10)})
                    .ok());
  }
  Pass(absl::Seconds(10));
  EXPECT_EQ(store.Sweep(), kTensors);
  ASSERT_TRUE(events.size.has_value());
  EXPECT_GT(*events.size, kTensors / 2);
}

TEST_F(TensorStoreTest, UpdateMovesTheEndOfALife) {
  Put("a", absl::Seconds(10));
  Put("b", absl::Seconds(10));
  ASSERT_TRUE(
      store_.Update("a", "", {.expire_time = now_ + absl::Seconds(30)}).ok());
  ASSERT_TRUE(
      store_.Update("b", "", {.expire_time = absl::InfiniteFuture()}).ok());
  Pass(absl::Seconds(10));
  EXPECT_EQ(store_.Sweep(), 0);
  Pass(absl::Seconds(20));
  EXPECT_EQ(store_.Sweep(), 1);
  EXPECT_THAT(ListIds(), ElementsAre("b"));
}

TEST_F(TensorStoreTest, LeasesLastAsLongAsTheyAreUsed) {
  const auto stored = PutLeased("a", absl::Seconds(10));
  EXPECT_EQ(stored->end(), now_ + absl::Seconds(10));
  for (int i = 0; i < 5; ++i) {
    Pass(absl::Seconds(9));
    EXPECT_EQ(store_.Sweep(), 0U);
    ASSERT_TRUE(store_.Use("a").ok());
    EXPECT_EQ(stored->end(), now_ + absl::Seconds(10));
  }
  EXPECT_EQ((*store_.Get("a"))->etag, stored->etag) << "use is no change";
  Pass(absl::Seconds(10));
  EXPECT_EQ(store_.Use("a").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(store_.Sweep(), 1U);
  EXPECT_EQ(store_.size(), 0U);
}

TEST_F(TensorStoreTest, LookingIsNoUse) {
  PutLeased("a", absl::Seconds(10));
  Pass(absl::Seconds(9));
  EXPECT_TRUE(store_.Get("a").ok());
  EXPECT_THAT(ListIds(), ElementsAre("a"));
  Pass(absl::Seconds(1));
  EXPECT_FALSE(store_.Get("a").ok());
}

TEST_F(TensorStoreTest, TheEndOfAUseRenews) {
  PutLeased("a", absl::Seconds(10));
  const auto reading = *store_.Use("a");
  Pass(absl::Seconds(9));
  store_.EndUse(*reading);
  Pass(absl::Seconds(9));
  EXPECT_TRUE(store_.Get("a").ok());
  Pass(absl::Seconds(1));
  store_.EndUse(*reading);
  EXPECT_FALSE(store_.Get("a").ok()) << "what has expired stays so";
  store_.Sweep();
  store_.EndUse(*reading);
  EXPECT_EQ(store_.size(), 0U);
}

TEST_F(TensorStoreTest, UpdatesThatLeaveTheLeaseAloneShareIt) {
  PutLeased("a", absl::Seconds(10));
  const auto reading = *store_.Use("a");
  Pass(absl::Seconds(5));
  const auto changed = *store_.Update("a", "", {.requires_grad = true});
  EXPECT_EQ(changed->end(), now_ + absl::Seconds(5));
  store_.EndUse(*reading);
  EXPECT_EQ(changed->end(), now_ + absl::Seconds(10));
}

TEST_F(TensorStoreTest, UpdatesBeginAndEndLeases) {
  Put("a", absl::Seconds(5));
  const auto leased = *store_.Update("a", "", {.lease = absl::Seconds(10)});
  EXPECT_EQ(leased->end(), now_ + absl::Seconds(10));
  Pass(absl::Seconds(9));
  EXPECT_EQ(store_.Sweep(), 0U);
  EXPECT_EQ((*store_.Update("a", "", {.lease = absl::Seconds(2)}))->end(),
            now_ + absl::Seconds(2));
  const auto fixed =
      *store_.Update("a", "", {.expire_time = now_ + absl::Seconds(3)});
  EXPECT_EQ(fixed->lease, nullptr);
  EXPECT_TRUE(store_.Use("a").ok());
  EXPECT_EQ(fixed->end(), now_ + absl::Seconds(3));
  Pass(absl::Seconds(3));
  EXPECT_EQ(store_.Sweep(), 1U);
}

// Whatever is done, what is there is what a model of lifetimes says.
TEST_F(TensorStoreTest, LifetimesAreThoseOfAModel) {
  struct Life {
    absl::Time end;
    absl::Duration lease;
  };
  std::mt19937 random(1);
  std::map<std::string, Life> model;
  const auto seconds = [&] { return absl::Seconds(1 + random() % 20); };
  for (int step = 0; step < 20000; ++step) {
    const std::string id = absl::StrCat(random() % 8);
    const auto it = model.find(id);
    const bool is_there = it != model.end();
    switch (random() % 8) {
      case 0:
      case 1: {
        auto claim = store_.ClaimId(id, {.replace = random() % 2 == 0});
        if (!claim.ok()) {
          ASSERT_TRUE(is_there);
          break;
        }
        Life life{absl::InfiniteFuture(), absl::ZeroDuration()};
        Lifetime lifetime;
        switch (random() % 3) {
          case 0:
            lifetime.ttl = seconds();
            life.end = now_ + *lifetime.ttl;
            break;
          case 1:
            lifetime.lease = life.lease = seconds();
            life.end = now_ + life.lease;
            break;
          default:
            break;
        }
        ASSERT_TRUE(std::move(*claim).Commit(MakeTensor(), lifetime).ok());
        model[id] = life;
        break;
      }
      case 2:
      case 3:
        ASSERT_EQ(store_.Use(id).ok(), is_there);
        if (is_there && it->second.lease > absl::ZeroDuration()) {
          it->second.end = now_ + it->second.lease;
        }
        break;
      case 4: {
        TensorStore::Changes changes;
        Life life;
        if (random() % 2 == 0) {
          life = {now_ + seconds(), absl::ZeroDuration()};
          changes.expire_time = life.end;
        } else {
          changes.lease = seconds();
          life = {now_ + *changes.lease, *changes.lease};
        }
        ASSERT_EQ(store_.Update(id, "", changes).ok(), is_there);
        if (is_there) it->second = life;
        break;
      }
      case 5:
        ASSERT_EQ(store_.Delete(id, "").ok(), is_there);
        model.erase(id);
        break;
      case 6:
        store_.Sweep();
        ASSERT_EQ(store_.size(), model.size());
        break;
      default:
        Pass(absl::Seconds(random() % 5));
        std::erase_if(
            model, [&](const auto& life) { return life.second.end <= now_; });
    }
    std::vector<std::string> ids;
    for (const auto& [key, life] : model) ids.push_back(key);
    ASSERT_EQ(ListIds(), ids) << step;
  }
}

// What UsageOf says, counted anew.
DeviceUsage RecountUsage(const TensorStore& store, Device device) {
  DeviceUsage usage;
  std::set<const Buffer*> buffers;
  for (const auto& stored : ListStored(store)) {
    const Tensor& tensor = stored->tensor;
    if (tensor.device() != device) continue;
    ++usage.tensors;
    if (buffers.insert(tensor.buffer().get()).second) {
      usage.stored_bytes +=
          static_cast<std::int64_t>(tensor.buffer()->size_bytes());
    }
  }
  return usage;
}

TEST(UsageTest, IsThatOfTheTensorsThatAreThere) {
  constexpr Device kOther{DeviceType::kCuda, 0};
  static std::byte memory[64];
  absl::Time now = absl::UnixEpoch();
  TensorStore store(
      {.clock = [&] { return now; }, .max_tensors = 20, .evicts = true});
  std::vector<std::shared_ptr<const Buffer>> buffers;
  for (std::size_t i = 1; i <= 12; ++i) {
    buffers.push_back(std::make_shared<const Buffer>(
        i % 3 == 0 ? kOther : kCpuDevice, memory, i, nullptr));
  }
  std::mt19937 random(1);
  const auto any_id = [&] { return absl::StrCat(random() % 30); };
  for (int step = 0; step < 20'000; ++step) {
    switch (random() % 6) {
      case 0:
      case 1: {
        auto claim = store.ClaimId(any_id(), {.replace = true});
        ASSERT_TRUE(claim.ok());
        Lifetime lifetime;
        if (random() % 4 == 0) lifetime.ttl = absl::Seconds(3);
        if (random() % 4 == 1) lifetime.lease = absl::Seconds(3);
        ASSERT_TRUE((*std::move(claim))
                        .Commit(Tensor(DType::kUInt8, DenseLayout({1}),
                                       buffers[random() % buffers.size()]),
                                lifetime)
                        .ok());
        break;
      }
      case 2:
        (void)store.Update(any_id(), "", {.lease = absl::Seconds(2)});
        break;
      case 3:
        (void)store.Delete(any_id(), "");
        break;
      case 4:
        // Evict takes none of these, whose buffers the test has as well: the
        // limit evicts.
        ASSERT_FALSE(store.Evict(random() % 2 == 0 ? kCpuDevice : kOther));
        break;
      default:
        now += absl::Seconds(1);
        store.Sweep();
    }
    for (const Device device : {kCpuDevice, kOther}) {
      const DeviceUsage usage = store.UsageOf(device);
      const DeviceUsage expected = RecountUsage(store, device);
      ASSERT_EQ(usage.tensors, expected.tensors) << step;
      ASSERT_EQ(usage.stored_bytes, expected.stored_bytes) << step;
    }
  }
}

TEST(UsageTest, IsNothingWhereNothingWasStored) {
  const TensorStore store;
  EXPECT_EQ(store.UsageOf(kCpuDevice).tensors, 0);
  EXPECT_EQ(store.UsageOf(kCpuDevice).stored_bytes, 0);
}

void ExpectFull(const absl::Status& status, std::string_view limit,
                std::string_view used) {
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  const ErrorDetails details = GetErrorDetails(status);
  EXPECT_EQ(details.reason, reason::kQuotaExceeded);
  EXPECT_EQ(details.metadata.at("limitTensors"), limit);
  EXPECT_EQ(details.metadata.at("usedTensors"), used);
}

TEST_F(TensorStoreTest, HasNoMoreTensorsThanItMay) {
  TensorStore store({.clock = [this] { return now_; }, .max_tensors = 2});
  EXPECT_EQ(store.max_tensors(), 2);
  auto first = store.ClaimId("a");
  {
    const auto second = store.ClaimId("b");
    ExpectFull(store.ClaimId("c").status(), "2", "2");
    ExpectFull(store.ClaimId("").status(), "2", "2");
  }
  const auto second = store.ClaimId("c");
  ASSERT_TRUE(second.ok()) << "a claim that ended takes no place";
  ASSERT_TRUE(std::move(*first).Commit(MakeTensor(), {}).ok());
  ExpectFull(store.ClaimId("d").status(), "2", "2");
  {
    auto instead = store.ClaimId("a", {.replace = true});
    ASSERT_TRUE(instead.ok()) << "it takes the place of the old one";
    ASSERT_TRUE(std::move(*instead).Commit(MakeTensor(), {}).ok());
  }
  ExpectFull(store.ClaimId("d").status(), "2", "2");
  {
    auto instead = store.ClaimId("a", {.replace = true});
    ASSERT_TRUE(store.Delete("a", "").ok());
    ExpectFull(store.ClaimId("d").status(), "2", "2");
    ASSERT_TRUE(std::move(*instead).Commit(MakeTensor(), {}).ok());
  }
  ASSERT_TRUE(store.Delete("a", "").ok());
  EXPECT_TRUE(store.ClaimId("d").ok());
}

TEST_F(TensorStoreTest, ExpiredTensorsTakeNoPlaces) {
  TensorStore store({.clock = [this] { return now_; }, .max_tensors = 1});
  auto claim = store.ClaimId("a");
  ASSERT_TRUE(
      std::move(*claim).Commit(MakeTensor(), {.ttl = absl::Seconds(1)}).ok());
  ExpectFull(store.ClaimId("b").status(), "1", "1");
  Pass(absl::Seconds(1));
  EXPECT_TRUE(store.ClaimId("b").ok());
  EXPECT_EQ(store.size(), 0U);
}

class CountedEvents final : public StoreEvents {
 public:
  void Expired(Device) override { ++expiries; }
  void Evicted(Device) override { ++evictions; }
  std::atomic<int> expiries{0};
  std::atomic<int> evictions{0};
};

class EvictionTest : public testing::Test {
 protected:
  // One of a buffer of its own unless there is another.
  void Put(std::string_view id, const Lifetime& lifetime = {},
           std::shared_ptr<const Buffer> buffer = nullptr,
           Device device = kCpuDevice) {
    static std::byte memory[16];
    if (buffer == nullptr) {
      buffer = std::make_shared<const Buffer>(device, memory, sizeof memory,
                                              nullptr);
    }
    auto claim = store_.ClaimId(id, {.replace = true});
    ASSERT_TRUE(claim.ok()) << claim.status();
    const auto stored = std::move(*claim).Commit(
        Tensor(DType::kFloat32, DenseLayout({1}), std::move(buffer)), lifetime);
    ASSERT_TRUE(stored.ok());
  }

  // The ids that are left, in one string.
  std::string Ids() {
    std::string ids;
    for (const auto& stored : ListStored(store_)) ids += stored->id;
    return ids;
  }

  static constexpr Device kOther{DeviceType::kCuda, 0};

  absl::Time now_ = absl::FromUnixSeconds(1000);
  CountedEvents events_;
  TensorStore store_{{.clock = [this] { return now_; },
                      .max_tensors = 4,
                      .evicts = true,
                      .events = &events_}};
};

TEST_F(EvictionTest, TakesTheLeastRecentlyUsed) {
  for (const char* id : {"a", "b", "c", "d"}) Put(id);
  ASSERT_TRUE(store_.Use("a").ok());
  ASSERT_TRUE(store_.Get("b").ok()) << "which is no use";
  EXPECT_TRUE(store_.Evict(kCpuDevice));
  EXPECT_EQ(Ids(), "acd");
  Put("c");
  EXPECT_TRUE(store_.Evict(kCpuDevice));
  EXPECT_EQ(Ids(), "ac");
  EXPECT_TRUE(store_.Evict(kCpuDevice));
  EXPECT_EQ(Ids(), "c");
  EXPECT_TRUE(store_.Evict(kCpuDevice));
  EXPECT_FALSE(store_.Evict(kCpuDevice));
  EXPECT_EQ(events_.evictions, 4);
  EXPECT_EQ(events_.expiries, 0);
}

TEST_F(EvictionTest, MakesPlacesForNewTensors) {
  for (const char* id : {"a", "b", "c", "d", "e"}) Put(id);
  EXPECT_EQ(Ids(), "bcde");
  ASSERT_TRUE(store_.Use("b").ok());
  Put("f");
  EXPECT_EQ(Ids(), "bdef");
  Put("f");
  EXPECT_EQ(Ids(), "bdef") << "what replaces needs no place";
  EXPECT_FALSE(store_.ClaimId("b").ok());
  EXPECT_EQ(Ids(), "bdef") << "what is refused takes none";
  EXPECT_EQ(events_.evictions, 2);
}

TEST_F(EvictionTest, TakesWhatHasExpiredFirst) {
  Put("a");
  Put("b", {.ttl = absl::Seconds(1)});
  Put("c", {.lease = absl::Seconds(1)});
  Put("d");
  now_ += absl::Seconds(1);
  Put("e");
  Put("f");
  EXPECT_EQ(Ids(), "adef");
  EXPECT_EQ(events_.expiries, 2);
  EXPECT_EQ(events_.evictions, 0);
}

TEST_F(EvictionTest, NeverTakesLeasedTensors) {
  Put("a", {.lease = absl::Seconds(10)});
  Put("b");
  ASSERT_TRUE(store_.Update("b", "", {.lease = absl::Seconds(10)}).ok());
  Put("c", {.lease = absl::Seconds(10)});
  ASSERT_TRUE(
      store_.Update("c", "", {.expire_time = absl::InfiniteFuture()}).ok());
  EXPECT_TRUE(store_.Evict(kCpuDevice));
  EXPECT_FALSE(store_.Evict(kCpuDevice));
  EXPECT_EQ(Ids(), "ab");
}

TEST_F(EvictionTest, NeverTakesWhatSomebodyHolds) {
  Put("a");
  Put("b");
  Put("c");
  const auto reader = *store_.Use("a");
  const std::shared_ptr<const Buffer> sender =
      (*store_.Get("b"))->tensor.buffer();
  auto claim = store_.ClaimId("c", {.replace = true});
  EXPECT_FALSE(store_.Evict(kCpuDevice));
  EXPECT_EQ(Ids(), "abc");
}

TEST_F(EvictionTest, TakesNoMemoryThatOthersHaveToKeep) {
  Put("a");
  Put("b", {.lease = absl::Seconds(10)}, (*store_.Get("a"))->tensor.buffer());
  EXPECT_FALSE(store_.Evict(kCpuDevice));
  {
    const auto reader = *store_.Use("b");
    ASSERT_TRUE(store_.Delete("b", "").ok());
    EXPECT_FALSE(store_.Evict(kCpuDevice));
  }
  EXPECT_TRUE(store_.Evict(kCpuDevice));
}

// A tensor and its views are used where one of them is.
TEST_F(EvictionTest, TakesAllThatShareMemory) {
  Put("a");
  Put("b", {}, (*store_.Get("a"))->tensor.buffer());
  Put("c");
  Put("d", {}, (*store_.Get("a"))->tensor.buffer());
  EXPECT_TRUE(store_.Evict(kCpuDevice));
  EXPECT_EQ(Ids(), "abd");
  EXPECT_TRUE(store_.Evict(kCpuDevice));
  EXPECT_EQ(Ids(), "");
  EXPECT_FALSE(store_.Evict(kCpuDevice));
  EXPECT_EQ(events_.evictions, 4);
}

TEST_F(EvictionTest, TakesViewsForTheirPlaces) {
  Put("a");
  for (const char* id : {"b", "c", "d"}) {
    Put(id, {}, (*store_.Get("a"))->tensor.buffer());
  }
  Put("e");
  EXPECT_EQ(Ids(), "bcde");
}

TEST_F(EvictionTest, TellsDevicesApart) {
  Put("a", {}, nullptr, kOther);
  Put("b");
  Put("c", {}, nullptr, kOther);
  Put("d");
  EXPECT_TRUE(store_.Evict(kCpuDevice));
  EXPECT_EQ(Ids(), "acd");
  Put("c");
  EXPECT_TRUE(store_.Evict(kOther));
  EXPECT_FALSE(store_.Evict(kOther)) << "the other is on the CPU now";
  EXPECT_EQ(Ids(), "cd");
  Put("e", {}, nullptr, kOther);
  Put("f");
  Put("g");
  EXPECT_EQ(Ids(), "cefg") << "places are those of all devices";
}

TEST_F(EvictionTest, RefusesWhereNothingMayGo) {
  for (const char* id : {"a", "b", "c", "d"}) {
    Put(id, {.lease = absl::Seconds(10)});
  }
  ExpectFull(store_.ClaimId("e").status(), "4", "4");
  EXPECT_EQ(Ids(), "abcd");
}

TEST_F(EvictionTest, IsOffUnlessAskedFor) {
  TensorStore store;
  auto claim = store.ClaimId("a");
  ASSERT_TRUE(std::move(*claim).Commit(MakeTensor(), {}).ok());
  EXPECT_FALSE(store.Evict(kCpuDevice));
}

// What is evicted is always what a plain list says.
TEST_F(EvictionTest, FollowsAModel) {
  std::mt19937 random(1);
  std::vector<std::string> order;
  for (int step = 0; step < 20000; ++step) {
    const std::string id(1, static_cast<char>('a' + random() % 7));
    const auto it = std::find(order.begin(), order.end(), id);
    switch (random() % 4) {
      case 0:
        if (it != order.end()) {
          order.erase(it);
        } else if (order.size() == 4) {
          order.erase(order.begin());
        }
        Put(id);
        order.push_back(id);
        break;
      case 1:
        ASSERT_EQ(store_.Use(id).ok(), it != order.end());
        if (it != order.end()) std::rotate(it, it + 1, order.end());
        break;
      case 2:
        ASSERT_EQ(store_.Delete(id, "").ok(), it != order.end());
        if (it != order.end()) order.erase(it);
        break;
      default:
        ASSERT_EQ(store_.Evict(kCpuDevice), !order.empty());
        if (!order.empty()) order.erase(order.begin());
    }
    std::vector<std::string> sorted = order;
    std::sort(sorted.begin(), sorted.end());
    ASSERT_EQ(Ids(), absl::StrJoin(sorted, ""));
  }
}

TEST(TensorLimitTest, IsSharedByStores) {
  TensorLimit limit(2);
  std::optional<TensorStore> first;
  first.emplace(TensorStoreOptions{.max_tensors = 5, .limit_of_all = &limit});
  TensorStore second({.max_tensors = 1, .limit_of_all = &limit});
  EXPECT_EQ(first->max_tensors(), 2);
  EXPECT_EQ(second.max_tensors(), 1);
  const auto put = [](TensorStore& store) {
    auto claim = store.ClaimId("");
    ASSERT_TRUE(claim.ok());
    ASSERT_TRUE(std::move(*claim).Commit(MakeTensor(), {}).ok());
  };
  put(second);
  ExpectFull(second.ClaimId("").status(), "1", "1");
  put(*first);
  ExpectFull(first->ClaimId("").status(), "2", "2");
  EXPECT_EQ(limit.tensors(), 2);
  first.reset();
  EXPECT_EQ(limit.tensors(), 1);
}

TEST(LeaseTest, IsRenewedByTheLatestOfManyThreads) {
  const absl::Time start = absl::FromUnixSeconds(1000);
  Lease lease(absl::Hours(1), start);
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < 10000; ++i) {
          lease.Renew(start + absl::Milliseconds((i * 7919 + t) % 10000));
        }
      });
    }
  }
  EXPECT_EQ(lease.end(), start + absl::Milliseconds(9999) + absl::Hours(1));
  lease.Renew(start);
  EXPECT_EQ(lease.end(), start + absl::Milliseconds(9999) + absl::Hours(1));
}

TEST_F(TensorStoreTest, ListsInOrderOfBytes) {
  for (const char* id : {"b", "a/1", "B", "a", "a.1", "~"}) Put(id);
  EXPECT_THAT(ListIds(), ElementsAre("B", "a", "a.1", "a/1", "b", "~"));
  EXPECT_THAT(ListIds("a"), ElementsAre("a.1", "a/1", "b", "~"));
  EXPECT_THAT(ListIds("a.5"), ElementsAre("a/1", "b", "~"));
  EXPECT_THAT(ListIds("", 2), ElementsAre("B", "a"));
  EXPECT_THAT(ListIds("", 0), IsEmpty());
  EXPECT_THAT(ListIds("~"), IsEmpty());
}

TEST_F(TensorStoreTest, PagesMeetEveryTensorOnce) {
  for (int i = 0; i < 57; ++i) {
    Put(absl::StrCat("x", i),
        i % 3 == 0 ? std::optional(absl::Seconds(1)) : std::nullopt);
  }
  Pass(absl::Seconds(1));
  std::vector<std::string> paged;
  for (;;) {
    const auto page = ListIds(paged.empty() ? "" : paged.back(), 10);
    if (page.empty()) break;
    paged.insert(paged.end(), page.begin(), page.end());
  }
  EXPECT_EQ(paged, ListIds());
  EXPECT_EQ(paged.size(), 38);
}

TEST_F(TensorStoreTest, WalksInOrderOfBytes) {
  for (const char* id : {"b", "a/1", "B", "a", "a.1", "~"}) Put(id);
  Put("a.2", absl::Seconds(1));
  Pass(absl::Seconds(1));
  std::string seen;
  const auto walk = [&](std::string_view from, std::size_t limit,
                        std::size_t most = 100) {
    seen.clear();
    std::size_t count = 0;
    return store_
        .Walk(from, limit,
              [&](const auto& stored) {
                if (count++ == most) return false;
                absl::StrAppend(&seen, stored->id, " ");
                return true;
              })
        .value_or("none");
  };
  EXPECT_EQ(walk("", 100), "none");
  EXPECT_EQ(seen, "B a a.1 a/1 b ~ ");
  EXPECT_EQ(walk("a.1", 2), "a/1") << "expired ones are looked at too";
  EXPECT_EQ(seen, "a.1 ");
  EXPECT_EQ(walk("a.15", 0), "a.2");
  EXPECT_EQ(walk("a", 100, 2), "a/1");
  EXPECT_EQ(seen, "a a.1 ");
  EXPECT_EQ(walk("~~", 1), "none");
  EXPECT_EQ(walk("~", 1), "none");
}

TEST_F(TensorStoreTest, EveryChangeHasAnEtagOfItsOwn) {
  TensorStore other({.clock = [this] { return now_; }});
  std::set<std::string> etags;
  for (int i = 0; i < 50; ++i) {
    EXPECT_TRUE(etags.insert(Put(absl::StrCat(i))->etag).second);
    EXPECT_TRUE(
        etags.insert((*store_.Update(absl::StrCat(i), "", {}))->etag).second);
    auto claim = other.ClaimId(absl::StrCat(i));
    EXPECT_TRUE(
        etags.insert((*std::move(*claim).Commit(MakeTensor(), {}))->etag)
            .second);
  }
}

// Memory that goes back to a device may call anything, even the store.
TEST_F(TensorStoreTest, DropsTensorsOutsideOfItsLock) {
  int dropped = 0;
  const auto owner = [&] {
    return std::shared_ptr<void>(&dropped, [&](void*) {
      store_.size();
      ++dropped;
    });
  };
  Put("deleted", std::nullopt, owner());
  EXPECT_TRUE(store_.Delete("deleted", "").ok());
  Put("swept", absl::Seconds(1), owner());
  Put("replaced", absl::Seconds(1), owner());
  Pass(absl::Seconds(1));
  Put("replaced");
  store_.Sweep();
  EXPECT_EQ(dropped, 3);
}

// Many threads fight for a few ids. What each sees has to be one of the states
// that exist: a complete tensor with an etag of its own, or none.
TEST(TensorStoreStressTest, KeepsItsPromisesUnderManyThreads) {
  constexpr int kThreads = 4;
  constexpr int kSteps = 5000;
  std::atomic<std::int64_t> time{0};
  std::atomic<int> live{0};
  std::atomic<int> claims{0};
  const auto counted = [&live] {
    ++live;
    return std::shared_ptr<void>(&live, [&live](void*) { --live; });
  };
  {
    TensorLimit limit(4);
    TensorStore store({.clock = [&time] { return absl::FromUnixNanos(time); },
                       .limit_of_all = &limit,
                       .evicts = true});
    const auto work = [&](unsigned seed) {
      std::mt19937 random(seed);
      for (int step = 0; step < kSteps; ++step) {
        const std::string id = absl::StrCat("id/", random() % 5);
        time += 1;
        switch (random() % 8) {
          case 0:
          case 1: {
            ClaimOptions options{.replace = random() % 2 == 0};
            if (random() % 4 == 0) {
              const auto stored = store.Get(id);
              if (stored.ok()) options.if_match = (*stored)->etag;
            }
            auto claim = store.ClaimId(id, options);
            EXPECT_LE(limit.tensors(), limit.max_tensors());
            if (!claim.ok()) break;
            ++claims;
            if (random() % 4 == 0) break;
            const auto stored = std::move(*claim).Commit(
                MakeTensor(DType::kFloat32, counted()),
                {.ttl = absl::Nanoseconds(1 + random() % 500)});
            if (stored.ok()) {
              EXPECT_EQ((*stored)->id, id);
            } else {
              EXPECT_FALSE(options.if_match.empty());
            }
            break;
          }
          case 2: {
            const auto stored =
                random() % 2 == 0 ? store.Get(id) : store.Use(id);
            if (!stored.ok()) break;
            EXPECT_EQ((*stored)->id, id);
            EXPECT_LE((*stored)->create_time, (*stored)->update_time);
            EXPECT_EQ((*stored)->tensor.element_count(), 1);
            break;
          }
          case 3: {
            const auto stored = store.Get(id);
            if (!stored.ok()) break;
            // Of all who read the same etag, one update at most goes through.
            const auto changed = store.Update(
                id, (*stored)->etag, {.requires_grad = random() % 2 == 0});
            if (changed.ok()) {
              EXPECT_NE((*changed)->etag, (*stored)->etag);
              EXPECT_EQ((*changed)->tensor.buffer(),
                        (*stored)->tensor.buffer());
            }
            break;
          }
          case 4:
            (void)store.Delete(id, "");
            break;
          case 5: {
            std::string last;
            for (const auto& stored : ListStored(store, "", 10)) {
              EXPECT_LT(last, stored->id);
              last = stored->id;
            }
            break;
          }
          case 6:
            store.Evict(kCpuDevice);
            break;
          default:
            store.Sweep();
        }
      }
    };
    {
      std::vector<std::jthread> threads;
      for (int t = 0; t < kThreads; ++t) threads.emplace_back(work, t);
    }
    EXPECT_GT(claims, 0);
    EXPECT_EQ(live, static_cast<int>(store.size()));
    EXPECT_EQ(limit.tensors(), static_cast<std::int64_t>(store.size()));
    for (int i = 0; i < 5; ++i) {
      const auto claim = store.ClaimId(absl::StrCat("id/", i));
      EXPECT_NE(claim.status().code(), absl::StatusCode::kAborted)
          << "a claim was left behind";
    }
    time += 1000;
    store.Sweep();
    EXPECT_EQ(store.size(), 0);
  }
  EXPECT_EQ(live, 0);
}

// Of many that claim one id at once, one wins each round.
TEST(TensorStoreStressTest, GivesAnIdToOneTakerAtATime) {
  TensorStore store;
  std::atomic<int> holders{0};
  std::atomic<int> won{0};
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 2000; ++i) {
          const auto claim = store.ClaimId("a");
          if (!claim.ok()) continue;
          EXPECT_EQ(++holders, 1);
          ++won;
          --holders;
        }
      });
    }
  }
  EXPECT_GT(won, 0);
  EXPECT_TRUE(store.ClaimId("a").ok());
}

}  // namespace
}  // namespace tensord
