// Every allocation of every call fails in turn: the call is refused, and
// nothing is lost, left or half made.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <utility>

#include "core/error.h"
#include "server/rpc/call.h"
#include "server/rpc/tensor_calls.h"
#include "server/rpc/upload_session.h"
#include "tests/server/rpc/service_fixture.h"

namespace {

// Allocations of this thread until one fails; below 0 for none.
thread_local std::int64_t t_allocations_left = -1;

void* Allocate(std::size_t size, std::size_t alignment) {
  if (t_allocations_left >= 0 && t_allocations_left-- == 0) return nullptr;
  return alignment <= alignof(std::max_align_t)
             ? std::malloc(size)
             : std::aligned_alloc(
                   alignment, (size + alignment - 1) / alignment * alignment);
}

void* AllocateOrThrow(std::size_t size, std::size_t alignment) {
  void* const memory = Allocate(std::max<std::size_t>(size, 1), alignment);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

void* operator new(std::size_t size) { return AllocateOrThrow(size, 1); }
void* operator new[](std::size_t size) { return AllocateOrThrow(size, 1); }
void* operator new(std::size_t size, std::align_val_t alignment) {
  return AllocateOrThrow(size, static_cast<std::size_t>(alignment));
}
void* operator new[](std::size_t size, std::align_val_t alignment) {
  return AllocateOrThrow(size, static_cast<std::size_t>(alignment));
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  return Allocate(std::max<std::size_t>(size, 1), 1);
}
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept {
  return Allocate(std::max<std::size_t>(size, 1), 1);
}
void* operator new(std::size_t size, std::align_val_t alignment,
                   const std::nothrow_t&) noexcept {
  return Allocate(std::max<std::size_t>(size, 1),
                  static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, const std::nothrow_t&) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::align_val_t,
                     const std::nothrow_t&) noexcept {
  std::free(memory);
}
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::align_val_t) noexcept {
  std::free(memory);
}
void operator delete[](void* memory, std::align_val_t) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
  std::free(memory);
}
void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept {
  std::free(memory);
}

namespace tensord {
namespace {

class OutOfMemoryTest : public ::testing::Test {
 protected:
  OutOfMemoryTest() {
    MakeStatusesAhead();
    // Protobuf looks up names when they are first asked for.
    RequestDigest(v1::UploadDeclaration());
    EXPECT_TRUE(calls_.Create(Request("source"), ignored_).ok());
  }

  static v1::CreateTensorRequest Request(const std::string& id) {
    v1::CreateTensorRequest request;
    request.set_tensor_id(id);
    *request.mutable_raw()->mutable_spec() = MakeSpec(v1::DTYPE_INT32, {1000});
    request.mutable_raw()->set_data(std::string(4000, 'a'));
    return request;
  }

  // Runs `work` again and again, with another allocation failing each time,
  // until none is left to fail; `restore` undoes what it did.
  void FailEveryAllocation(const std::function<absl::Status()>& work,
                           const std::function<void()>& restore) {
    const std::int64_t used = test_.used_bytes();
    const std::size_t size = test_.store.size();
    int failures = 0;
    for (std::int64_t allocation = 0;; ++allocation) {
      ASSERT_LT(allocation, 10'000) << "it never gets through";
      t_allocations_left = allocation;
      const absl::Status status = Guarded(work);
      const bool failed = t_allocations_left < 0;
      t_allocations_left = -1;
      // Clients may go on with those.
      test_.uploads.Clear();
      if (status.ok()) {
        restore();
        if (!failed) break;
      } else {
        ASSERT_TRUE(failed) << status;
        ASSERT_EQ(status.code(), absl::StatusCode::kResourceExhausted)
            << allocation << ": " << status;
        ++failures;
      }
      ASSERT_EQ(test_.used_bytes(), used) << allocation;
      ASSERT_EQ(test_.store.size(), size) << allocation;
    }
    EXPECT_GT(failures, 0);
    // Nothing is claimed, and the source is as it was.
    EXPECT_TRUE(test_.store.ClaimId("a").ok());
    v1::ReadTensorResponse read;
    v1::ReadTensorRequest request;
    request.set_name("tensors/source");
    ASSERT_TRUE(Read(request, read).ok());
    EXPECT_EQ(read.data(), std::string(4000, 'a'));
  }

  // Of a tensor `a`.
  void FailEveryAllocationOfCreate(const v1::CreateTensorRequest& request) {
    FailEveryAllocation(
        [&] {
          v1::Tensor tensor;
          return calls_.Create(request, tensor);
        },
        [&] { Delete("a"); });
  }

  absl::Status Read(const v1::ReadTensorRequest& request,
                    v1::ReadTensorResponse& response) {
    Reading job;
    absl::Status status = calls_.Prepare(request, job);
    return status.ok() ? calls_.Read(job, 1 << 20, response) : status;
  }

  void Delete(const std::string& id) {
    EXPECT_TRUE(test_.store.Delete(id, "").ok());
  }

  TestContext test_;
  BufferAllocator allocator_{test_.devices, test_.quotas, nullptr,
                             TestContext::kMaxTensorBytes};
  TensorCalls calls_{test_.context, allocator_};
  v1::Tensor ignored_;
};

TEST_F(OutOfMemoryTest, Create) {
  v1::CreateTensorRequest request = Request("a");
  request.mutable_options()->set_dtype(v1::DTYPE_FLOAT64);
  request.mutable_options()->mutable_ttl()->set_seconds(10);
  request.mutable_options()->set_report_conversion(true);
  FailEveryAllocationOfCreate(request);
}

TEST_F(OutOfMemoryTest, CreateFromNpy) {
  v1::CreateTensorRequest request;
  request.set_tensor_id("a");
  request.set_npy(NpyFile(1000));
  FailEveryAllocationOfCreate(request);
}

TEST_F(OutOfMemoryTest, Reading) {
  v1::ReadTensorRequest request;
  request.set_name("tensors/source");
  v1::ReadOptions& options = *request.mutable_options();
  options.set_dtype(v1::DTYPE_INT16);
  options.set_encoding(v1::ENCODING_NPY);
  options.add_index()->mutable_slice()->set_step(3);
  FailEveryAllocation(
      [&] {
        v1::ReadTensorResponse response;
        return Read(request, response);
      },
      [] {});
}

TEST_F(OutOfMemoryTest, Transform) {
  v1::TransformTensorRequest request;
  request.set_name("tensors/source");
  request.set_tensor_id("a");
  request.add_operations()->mutable_to()->set_dtype(v1::DTYPE_FLOAT16);
  request.add_operations()->mutable_reshape()->add_shape(-1);
  request.add_operations()->mutable_clone();
  FailEveryAllocation(
      [&] {
        Transformation job;
        v1::Tensor tensor;
        absl::Status status = calls_.Prepare(request, job);
        return status.ok() ? calls_.Transform(job, {}, tensor) : status;
      },
      [&] { Delete("a"); });
}

TEST_F(OutOfMemoryTest, Update) {
  v1::UpdateTensorRequest request;
  request.mutable_tensor()->set_name("tensors/source");
  request.mutable_tensor()->mutable_ttl()->set_seconds(10);
  request.set_request_id("01234567-89ab-cdef-0123-456789abcdef");
  FailEveryAllocation(
      [&] {
        const auto before = *test_.store.Get("source");
        v1::Tensor tensor;
        absl::Status status =
            Guarded([&] { return calls_.Update(request, tensor); });
        EXPECT_EQ(*test_.store.Get("source") == before, !status.ok());
        return status;
      },
      [] {});
}

TEST_F(OutOfMemoryTest, Get) {
  v1::GetTensorRequest request;
  request.set_name("tensors/source");
  FailEveryAllocation(
      [&] {
        v1::Tensor tensor;
        return calls_.Get(request, tensor);
      },
      [] {});
}

class OutOfMemoryUploadTest : public OutOfMemoryTest {
 protected:
  OutOfMemoryUploadTest() {
    declaration_.set_tensor_id("a");
    *declaration_.mutable_array()->mutable_raw() =
        MakeSpec(v1::DTYPE_INT32, {1000});
    declaration_.mutable_array()->set_total_bytes(4000);
    declaration_.mutable_options()->set_dtype(v1::DTYPE_FLOAT32);
    declares_.payload = Envelope::Payload::kDeclaration;
  }

  // An upload that was not asked for before.
  const v1::UploadDeclaration& NewUpload() {
    const std::int64_t left = std::exchange(t_allocations_left, -1);
    declaration_.set_request_id(
        absl::StrCat("01234567-89ab-cdef-0123-",
                     absl::Hex(++uploads_, absl::PadSpec::kZeroPad12)));
    declaration_.mutable_part()->set_end(2000);
    first_part_ = declaration_;
    declaration_.mutable_part()->set_begin(2000);
    declaration_.mutable_part()->set_end(4000);
    second_part_ = declaration_;
    declaration_.clear_part();
    t_allocations_left = left;
    return declaration_;
  }

  // The bytes from `begin` to `end`, with `finish` if these are the last.
  Envelope Brings(std::size_t begin, std::size_t end) const {
    Envelope brings;
    brings.payload = Envelope::Payload::kChunk;
    brings.chunk.data = {std::string_view(data_).substr(begin, end - begin)};
    brings.chunk.data_bytes = end - begin;
    brings.chunk.offset = static_cast<std::int64_t>(begin);
    brings.finish = end == data_.size();
    return brings;
  }

  const std::string data_ = std::string(4000, 'b');
  v1::UploadDeclaration declaration_;
  // Of the latest upload.
  v1::UploadDeclaration first_part_;
  v1::UploadDeclaration second_part_;
  Envelope declares_;
  int uploads_ = 0;
};

TEST_F(OutOfMemoryUploadTest, Whole) {
  FailEveryAllocation(
      [&] {
        const v1::UploadDeclaration& declaration = NewUpload();
        UploadSession session(test_.context, allocator_);
        absl::Status status = session.Take(declares_, declaration);
        if (status.ok()) status = session.Take(Brings(0, 4000), {});
        return status.ok() ? session.Commit().status() : status;
      },
      [&] { Delete("a"); });
}

TEST_F(OutOfMemoryUploadTest, Resumed) {
  FailEveryAllocation(
      [&] {
        const v1::UploadDeclaration& declaration = NewUpload();
        UploadSession first(test_.context, allocator_);
        absl::Status status = first.Take(declares_, declaration);
        if (status.ok()) status = first.Take(Brings(0, 1000), {});
        if (!status.ok()) return status;
        first.Suspend();
        // Without the memory to remember it, it begins anew.
        const std::size_t begin = test_.uploads.suspended() == 1 ? 1000 : 0;
        UploadSession second(test_.context, allocator_);
        status = second.Take(declares_, declaration);
        if (status.ok()) status = second.Take(Brings(begin, 4000), {});
        if (status.ok()) status = second.Commit().status();
        return status;
      },
      [&] { Delete("a"); });
}

TEST_F(OutOfMemoryUploadTest, InParts) {
  FailEveryAllocation(
      [&] {
        UploadSession first(test_.context, allocator_);
        UploadSession second(test_.context, allocator_);
        NewUpload();
        absl::Status status = first.Take(declares_, first_part_);
        if (status.ok()) status = second.Take(declares_, second_part_);
        Envelope brings = Brings(0, 2000);
        brings.finish = true;
        if (status.ok()) status = first.Take(brings, {});
        if (status.ok()) status = second.Take(Brings(2000, 4000), {});
        if (status.ok()) status = first.Commit().status();
        if (status.ok()) status = second.Commit().status();
        first.Refuse(status);
        second.Refuse(status);
        return status;
      },
      [&] { Delete("a"); });
}

}  // namespace
}  // namespace tensord
