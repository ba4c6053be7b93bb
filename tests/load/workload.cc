#include "tests/load/workload.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/cast/cast.h"
#include "core/error.h"

namespace tensord::load {
namespace {

// Of both ends of an array, what is compared.
constexpr std::size_t kComparedBytes = 64;

bool IsLarge(CallKind kind) {
  return kind == CallKind::kUpload || kind == CallKind::kDownload ||
         kind == CallKind::kConvert;
}

absl::Status While(std::string_view doing, const absl::Status& status) {
  return absl::Status(status.code(),
                      absl::StrCat(std::string(doing), ": ", status.message()));
}

absl::Status WrongBytes() {
  return MakeError(absl::StatusCode::kDataLoss, "WRONG_BYTES",
                   "other elements came back than were stored");
}

std::size_t Elements(std::int64_t size_bytes, DType dtype) {
  return static_cast<std::size_t>(size_bytes) / ItemSize(dtype);
}

}  // namespace

absl::StatusOr<Weighted<CallKind>> ParseMix(std::string_view text) {
  const auto named = ParseWeights(text);
  if (!named.ok()) return named.status();
  std::vector<Weighted<CallKind>::Choice> choices;
  for (const auto& [name, weight] : *named) {
    const auto* const found =
        std::find(kCallKindNames.begin(), kCallKindNames.end(), name);
    if (found == kCallKindNames.end()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "\"", name,
          "\" is no kind of call; there are create, read, get, delete, "
          "transform, upload, download and convert"));
    }
    choices.push_back(
        {static_cast<CallKind>(found - kCallKindNames.begin()), weight});
  }
  return Weighted<CallKind>(std::move(choices));
}

Workload::Workload(WorkloadOptions options) : options_(std::move(options)) {}

absl::StatusOr<std::shared_ptr<Workload>> Workload::Prepare(
    const std::string& target, WorkloadOptions options) {
  // Only this can make one.
  std::shared_ptr<Workload> load(new Workload(std::move(options)));
  absl::Status status = load->Connect(target);
  if (!status.ok()) return status;

  std::size_t elements = 0;
  const auto add = [&](const Weighted<std::int64_t>& sizes, bool is_large) {
    for (const auto& size : sizes.choices()) {
      for (const auto& dtype : load->options_.dtypes.choices()) {
        const auto item = static_cast<std::int64_t>(ItemSize(dtype.value));
        load->arrays_.push_back(
            {.dtype = dtype.value,
             .size_bytes = std::max(item, size.value / item * item),
             .is_large = is_large});
        elements = std::max(
            elements, Elements(load->arrays_.back().size_bytes, dtype.value));
      }
    }
  };
  const auto& mix = load->options_.mix.choices();
  const auto has = [&](bool is_large) {
    return std::any_of(mix.begin(), mix.end(), [&](const auto& choice) {
      return IsLarge(choice.value) == is_large;
    });
  };
  if (has(false)) add(load->options_.small_sizes, false);
  if (has(true)) add(load->options_.large_sizes, true);

  std::vector<std::byte> bits(elements);
  Random random(1);
  for (std::byte& bit : bits) bit = static_cast<std::byte>(random() & 1);
  for (const auto& dtype : load->options_.dtypes.choices()) {
    std::vector<std::byte>& values = load->values_[dtype.value];
    values.resize(bits.size() * ItemSize(dtype.value));
    CastPacked(DType::kUInt8, bits.data(), dtype.value, values.data(),
               bits.size(), Overflow::kTorch, nullptr);
  }
  for (std::size_t i = 0; i < load->arrays_.size(); ++i) {
    for (int copy = 0; copy < load->options_.copies; ++copy) {
      status = load->Store(i, copy);
      if (!status.ok()) return While("storing the tensors to read", status);
    }
  }
  return load;
}

absl::Status Workload::Connect(const std::string& target) {
  ClientOptions client_options;
  client_options.timeout = options_.timeout;
  // Refusals are what is measured.
  client_options.max_attempts = 1;
  for (int i = 0; i < options_.connections; ++i) {
    auto client = Client::Connect(target, client_options);
    if (!client.ok()) return While("connecting", client.status());
    clients_.push_back(*std::move(client));
  }
  return absl::OkStatus();
}

absl::Status Workload::Store(std::size_t array, int copy) {
  auto stored = std::make_unique<Stored>();
  stored->array = array;
  stored->id = absl::StrCat(options_.prefix, "stored/", array, "-", copy);
  const auto made = clients_.front().Create(
      View(arrays_[array]), {.id = stored->id, .replace = true});
  if (!made.ok()) return made.status();
  for (const Client& client : clients_) {
    auto handle = client.Get(stored->id);
    if (!handle.ok()) return handle.status();
    stored->handles.push_back(*std::move(handle));
  }
  const auto index = static_cast<std::uint32_t>(stored_.size());
  auto& by_kind = arrays_[array].is_large ? large_stored_ : small_stored_;
  by_kind[{arrays_[array].size_bytes, arrays_[array].dtype}].push_back(index);
  stored_.push_back(std::move(stored));
  return absl::OkStatus();
}

ArrayView Workload::View(const Array& array) const {
  return {.data = values_.at(array.dtype).data(),
          .dtype = array.dtype,
          .shape = {static_cast<std::int64_t>(
              Elements(array.size_bytes, array.dtype))}};
}

bool Workload::IsRight(const Array& array, DType dtype,
                       const std::byte* data) const {
  const std::size_t size =
      Elements(array.size_bytes, array.dtype) * ItemSize(dtype);
  const std::byte* const expected = values_.at(dtype).data();
  const std::size_t compared = std::min(size, kComparedBytes);
  return std::memcmp(data, expected, compared) == 0 &&
         std::memcmp(data + size - compared, expected + size - compared,
                     compared) == 0;
}

std::string Workload::MadeId(std::int64_t number) const {
  return absl::StrCat(options_.prefix, "made/", number % options_.made);
}

std::uint32_t Workload::PickTensor(Random& random, bool is_large) {
  auto& sizes = is_large ? options_.large_sizes : options_.small_sizes;
  const DType dtype = options_.dtypes.Pick(random);
  const auto item = static_cast<std::int64_t>(ItemSize(dtype));
  const std::int64_t size = std::max(item, sizes.Pick(random) / item * item);
  const auto& found =
      (is_large ? large_stored_ : small_stored_).at({size, dtype});
  return found[random() % found.size()];
}

CallPlan Workload::Plan(Random& random) {
  CallPlan plan;
  plan.kind = options_.mix.Pick(random);
  plan.connection = static_cast<std::uint16_t>(random() % clients_.size());
  plan.tensor = PickTensor(random, IsLarge(plan.kind));
  plan.array = static_cast<std::uint32_t>(stored_[plan.tensor]->array);
  plan.to = options_.dtypes.Pick(random);
  return plan;
}

void Workload::Start(const CallPlan& plan, const CallOptions& call, Done done) {
  switch (plan.kind) {
    case CallKind::kCreate:
    case CallKind::kUpload:
      return Create(plan, call, std::move(done));
    case CallKind::kRead:
    case CallKind::kDownload:
      return Read(plan, call, std::move(done));
    case CallKind::kGet:
      return Get(plan, call, std::move(done));
    case CallKind::kDelete:
      return Delete(plan, call, std::move(done));
    case CallKind::kTransform:
      return Transform(plan, call, std::move(done));
    case CallKind::kConvert:
      return Convert(plan, call, std::move(done));
  }
}

void Workload::Create(const CallPlan& plan, const CallOptions& call,
                      Done done) {
  const Array& array = arrays_[plan.array];
  clients_[plan.connection]
      .CreateAsync(View(array), {.id = MadeId(made_count_++), .replace = true},
                   call)
      .Then([size = array.size_bytes,
             done = std::move(done)](absl::StatusOr<RemoteTensor> made) {
        done({made.status(), made.ok() ? size : 0});
      });
}

void Workload::Read(const CallPlan& plan, const CallOptions& call, Done done) {
  stored_[plan.tensor]->handles[plan.connection].ReadAsync({}, call).Then(
      [self = shared_from_this(), plan,
       done = std::move(done)](absl::StatusOr<HostArray> array) {
        if (!array.ok()) {
          self->Restore(plan, array.status());
          return done({array.status(), 0});
        }
        const Array& stored = self->arrays_[plan.array];
        if (!self->IsRight(stored, stored.dtype, array->data.get())) {
          return done({WrongBytes(), 0});
        }
        done({absl::OkStatus(), stored.size_bytes});
      });
}

void Workload::Get(const CallPlan& plan, const CallOptions& call, Done done) {
  clients_[plan.connection]
      .GetAsync(stored_[plan.tensor]->id, call)
      .Then([self = shared_from_this(), plan,
             done = std::move(done)](absl::StatusOr<RemoteTensor> tensor) {
        self->Restore(plan, tensor.status());
        done({tensor.status(), 0});
      });
}

void Workload::Delete(const CallPlan& plan, const CallOptions& call,
                      Done done) {
  // The oldest that is there, in general: calls overtake each other.
  clients_[plan.connection]
      .DeleteAsync(MadeId(deleted_count_++), /*allow_missing=*/true, call)
      .Then([done = std::move(done)](const absl::Status& status) {
        done({status, 0});
      });
}

void Workload::Transform(const CallPlan& plan, const CallOptions& call,
                         Done done) {
  stored_[plan.tensor]
      ->handles[plan.connection]
      .TransformAsync({ToOperation{.dtype = plan.to, .copy = true}},
                      {.id = MadeId(made_count_++), .replace = true}, call)
      .Then([self = shared_from_this(), plan,
             done = std::move(done)](absl::StatusOr<RemoteTensor> tensor) {
        self->Restore(plan, tensor.status());
        done({tensor.status(), 0});
      });
}

void Workload::Convert(const CallPlan& plan, const CallOptions& call,
                       Done done) {
  const Array& array = arrays_[plan.array];
  const std::size_t size =
      Elements(array.size_bytes, array.dtype) * ItemSize(plan.to);
  const auto result = std::make_shared_for_overwrite<std::byte[]>(size);
  clients_[plan.connection]
      .ConvertAsync(View(array), plan.to, Overflow::kTorch, result.get(), size,
                    call)
      .Then([self = shared_from_this(), plan, size, result,
             done = std::move(done)](const absl::Status& status) {
        if (!status.ok()) return done({status, 0});
        const Array& source = self->arrays_[plan.array];
        if (!self->IsRight(source, plan.to, result.get())) {
          return done({WrongBytes(), 0});
        }
        done({absl::OkStatus(),
              source.size_bytes + static_cast<std::int64_t>(size)});
      });
}

void Workload::Restore(const CallPlan& plan, const absl::Status& status) {
  if (!absl::IsNotFound(status)) return;
  Stored& stored = *stored_[plan.tensor];
  if (stored.is_restoring.exchange(true)) return;
  clients_[plan.connection]
      .CreateAsync(View(arrays_[stored.array]),
                   {.id = stored.id, .replace = true})
      .Then([self = shared_from_this(),
             &stored](const absl::StatusOr<RemoteTensor>&) {
        stored.is_restoring = false;
      });
}

void Workload::Clear() {
  const Client& client = clients_.front();
  const ListOptions mine = {
      .filter = absl::StrCat("name = \"tensors/", options_.prefix, "*\"")};
  for (;;) {
    const auto page = client.List(0, {}, mine);
    if (!page.ok() || page->tensors.empty()) return;
    for (const TensorInfo& tensor : page->tensors) {
      if (!client.Delete(tensor.id, /*allow_missing=*/true).ok()) return;
    }
  }
}

}  // namespace tensord::load
