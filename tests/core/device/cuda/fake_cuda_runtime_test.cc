#include "tests/core/device/cuda/fake_cuda_runtime.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <memory>

namespace tensord::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr std::size_t kSize = 1000;

// Two streams, memory on either side, and an event.
class FakeCudaRuntimeTest : public ::testing::Test {
 protected:
  FakeCudaRuntimeTest() {
    device_->CreateStream(&first_);
    device_->CreateStream(&second_);
    device_->CreateEvent(&event_);
    device_->MallocHost(kSize, &pinned_);
  }
  ~FakeCudaRuntimeTest() override {
    machine_->Resume();
    device_->DestroyStream(first_);
    device_->DestroyStream(second_);
    device_->DestroyEvent(event_);
    device_->FreeHost(pinned_);
  }

  // What memory on the device holds; waits for the stream.
  void ExpectBroken(bool is_broken) {
    device_->SynchronizeStream(first_);
    device_->SynchronizeStream(second_);
    EXPECT_EQ(device_->Probe() != CudaError::kSuccess, is_broken);
    EXPECT_THAT(machine_->TakeMistakes(), SizeIs(is_broken ? 1 : 0));
  }

  std::shared_ptr<FakeCudaMachine> machine_ = FakeCudaMachine::Make(
      {.device_memory_bytes = 4 * kSize, .pinned_memory_bytes = 2 * kSize});
  std::unique_ptr<CudaRuntime> device_ = machine_->NewDevice(0);
  CudaStream first_ = nullptr;
  CudaStream second_ = nullptr;
  CudaEvent event_ = nullptr;
  std::byte* pinned_ = nullptr;
};

TEST_F(FakeCudaRuntimeTest, DoesWorkInTheOrderOfAStream) {
  std::byte* memory = nullptr;
  pinned_[0] = std::byte{1};
  EXPECT_EQ(device_->MallocAsync(kSize, first_, &memory), CudaError::kSuccess);
  device_->CopyToDevice(memory, pinned_, kSize, first_);
  device_->Clear(memory + 1, kSize - 1, first_);
  device_->CopyToHost(pinned_, memory, kSize, first_);
  device_->FreeAsync(memory, first_);
  ExpectBroken(false);
  EXPECT_EQ(pinned_[0], std::byte{1});
  EXPECT_EQ(pinned_[1], std::byte{0});
}

TEST_F(FakeCudaRuntimeTest, EventsOrderStreams) {
  std::byte* memory = nullptr;
  machine_->Pause(first_);
  device_->MallocAsync(kSize, first_, &memory);
  device_->RecordEvent(event_, first_);
  device_->WaitEvent(second_, event_);
  device_->Clear(memory, kSize, second_);
  machine_->Resume(first_);
  ExpectBroken(false);
  device_->FreeAsync(memory, first_);
}

TEST_F(FakeCudaRuntimeTest, NoticesMemoryThatIsNotThereYet) {
  std::byte* memory = nullptr;
  machine_->Pause(first_);
  device_->MallocAsync(kSize, first_, &memory);
  device_->Clear(memory, kSize, second_);
  device_->SynchronizeStream(second_);
  machine_->Resume(first_);
  ExpectBroken(true);
  device_->FreeAsync(memory, first_);
}

TEST_F(FakeCudaRuntimeTest, NoticesMemoryThatIsFreedTooEarly) {
  std::byte* memory = nullptr;
  device_->MallocAsync(kSize, first_, &memory);
  device_->SynchronizeStream(first_);
  machine_->Pause(second_);
  device_->Clear(memory, kSize, second_);
  device_->FreeAsync(memory, first_);
  device_->SynchronizeStream(first_);
  machine_->Resume(second_);
  ExpectBroken(true);
}

TEST_F(FakeCudaRuntimeTest, NoticesMemoryThatIsFreed) {
  std::byte* memory = nullptr;
  device_->MallocAsync(kSize, first_, &memory);
  device_->FreeAsync(memory, first_);
  device_->Clear(memory, kSize, first_);
  ExpectBroken(true);
}

TEST_F(FakeCudaRuntimeTest, NoticesWorkBeyondTheEnd) {
  std::byte* memory = nullptr;
  device_->Malloc(kSize, &memory);
  device_->Clear(memory + 1, kSize, first_);
  ExpectBroken(true);
  device_->Free(memory);
}

TEST_F(FakeCudaRuntimeTest, NoticesHostMemoryThatIsNotPageLocked) {
  std::byte* memory = nullptr;
  device_->Malloc(kSize, &memory);
  std::byte pageable{};
  device_->CopyToDevice(memory, &pageable, 1, first_);
  ExpectBroken(true);
  device_->Free(memory);
}

TEST_F(FakeCudaRuntimeTest, NoticesMemoryOfOtherDevices) {
  const auto other = machine_->NewDevice(1);
  std::byte* memory = nullptr;
  other->Malloc(kSize, &memory);
  device_->Clear(memory, kSize, first_);
  ExpectBroken(true);
  EXPECT_EQ(other->Probe(), CudaError::kSuccess);
  other->Free(memory);
}

TEST_F(FakeCudaRuntimeTest, NoticesFreesOfWhatIsNotThere) {
  device_->Free(pinned_);
  EXPECT_THAT(machine_->TakeMistakes(), SizeIs(1));
}

TEST_F(FakeCudaRuntimeTest, MemoryEnds) {
  std::byte* memory = nullptr;
  EXPECT_EQ(device_->Malloc(4 * kSize + 1, &memory),
            CudaError::kMemoryAllocation);
  EXPECT_EQ(device_->Probe(), CudaError::kSuccess);
  std::byte* pinned = nullptr;
  EXPECT_EQ(device_->MallocHost(kSize + 1, &pinned),
            CudaError::kMemoryAllocation);
  EXPECT_EQ(device_->Malloc(4 * kSize, &memory), CudaError::kSuccess);
  std::size_t free_bytes = 1;
  device_->GetFreeBytes(&free_bytes);
  EXPECT_EQ(free_bytes, 0U);
  device_->Free(memory);
}

TEST_F(FakeCudaRuntimeTest, FaultsComeOnce) {
  machine_->FailAfter(1, FakeCudaMachine::Fault::kOnce);
  std::byte* memory = nullptr;
  EXPECT_EQ(device_->Malloc(kSize, &memory), CudaError::kSuccess);
  EXPECT_FALSE(machine_->fired());
  EXPECT_EQ(device_->Clear(memory, kSize, first_), CudaError::kInvalidValue);
  EXPECT_TRUE(machine_->fired());
  EXPECT_EQ(device_->Clear(memory, kSize, first_), CudaError::kSuccess);
  device_->SynchronizeStream(first_);
  device_->Free(memory);
}

TEST_F(FakeCudaRuntimeTest, FaultsLast) {
  machine_->FailAfter(0, FakeCudaMachine::Fault::kLasting);
  EXPECT_EQ(device_->SynchronizeStream(first_), CudaError::kLaunchFailure);
  EXPECT_EQ(device_->Probe(), CudaError::kLaunchFailure);
  EXPECT_THAT(device_->ErrorText(device_->SynchronizeStream(second_)),
              HasSubstr("unspecified launch failure"));
}

TEST_F(FakeCudaRuntimeTest, FaultsComeWithTheWork) {
  std::byte* memory = nullptr;
  device_->Malloc(kSize, &memory);
  machine_->FailAfter(0, FakeCudaMachine::Fault::kInStream);
  EXPECT_EQ(device_->Clear(memory, kSize, first_), CudaError::kSuccess);
  device_->SynchronizeStream(first_);
  EXPECT_EQ(device_->Probe(), CudaError::kIllegalAddress);
  device_->Free(memory);
  EXPECT_THAT(machine_->TakeMistakes(), IsEmpty());
}

TEST(FakeCudaMachineTest, TellsWhatIsLeft) {
  const auto machine = FakeCudaMachine::Make();
  const auto device = machine->NewDevice(0);
  CudaEvent event = nullptr;
  device->CreateEvent(&event);
  EXPECT_EQ(machine->live_objects(), 1U);
  device->DestroyEvent(event);
  EXPECT_EQ(machine->live_objects(), 0U);
}

}  // namespace
}  // namespace tensord::testing
