// Runs the CUDA kernels of csrc/ on the host, block by block and thread by thread, and sees what they do wrong.
//
// Every index is checked against its array, and every access of several elements against its alignment. Shared memory
// starts poisoned. Threads and blocks are taken forwards, backwards or shuffled, so that a result that depends on their
// order shows. Include this header before any header of a kernel.
#pragma once

#if defined(SP_CHECK)
#error "emulator.h must come before the headers of kernels"
#endif

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <random>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

namespace simplepose {

// What an emulated kernel did wrong.
struct KernelError : std::logic_error {
  using std::logic_error::logic_error;
};

// Out of line, since the code that checks is inlined everywhere.
[[noreturn]] inline __attribute__((noinline, cold)) void range_error(int64_t first, int64_t count, int64_t size) {
  throw KernelError("elements " + std::to_string(first) + " to " + std::to_string(first + count - 1) + " of " +
                    std::to_string(size));
}

[[noreturn]] inline __attribute__((noinline, cold)) void kernel_error(const char* message) {
  throw KernelError(message);
}

inline void check_range(int64_t first, int64_t count, int64_t size) {
  if (first < 0 || count < 0 || first > size - count) range_error(first, count, size);
}

}  // namespace simplepose

#define SP_CHECK_RANGE(first, count, size) ::simplepose::check_range(first, count, size)
#define SP_CHECK(condition, message) ((condition) ? (void)0 : ::simplepose::kernel_error(message))

#include "cuda/kernel.h"

namespace simplepose {

// The order of the blocks and, in each phase, of the threads.
enum class Order { kForwards, kBackwards, kShuffled };

// The Block of csrc/cuda/kernel.h for all threads of a block, one after the other.
template <typename Kernel>
class EmulatedBlock {
  using Shared = typename Kernel::Shared;
  using Local = typename Kernel::Local;
  static_assert(std::is_trivially_copyable<Shared>::value && std::is_trivially_copyable<Local>::value, "plain data");

 public:
  EmulatedBlock(const Kernel& kernel, Order order)
      : order_(order), locals_(Kernel::kThreads), dynamic_((kernel.dynamic_bytes() + 15) / 16) {
    for (int thread = 0; thread < Kernel::kThreads; ++thread) turns_.push_back(thread);
    if (order == Order::kBackwards) std::reverse(turns_.begin(), turns_.end());
  }

  // The memory of a block that has just started holds anything.
  void start(int64_t block) {
    index_ = block;
    poison(&shared_, sizeof shared_);
    poison(locals_.data(), locals_.size() * sizeof(Local));
    poison(dynamic_.data(), dynamic_.size() * sizeof dynamic_[0]);
  }

  int64_t index() const { return index_; }

  template <typename Phase>
  void each(Phase&& phase) {
    if (order_ == Order::kShuffled) std::shuffle(turns_.begin(), turns_.end(), random_);
    for (const int thread : turns_) phase(thread, locals_[thread], shared_);
  }

  // A phase whose answers are joined by "or".
  template <typename Phase>
  bool any(Phase&& phase) {
    bool answer = false;
    each([&](int thread, Local& local, Shared& shared) { answer = phase(thread, local, shared) || answer; });
    return answer;
  }

  template <typename Get>
  auto read(Get&& get) {
    return get(static_cast<const Shared&>(shared_));
  }

  // `count` elements of the dynamic shared memory from byte `first` on.
  template <typename T>
  Span<T> dynamic(int64_t first, int64_t count) {
    const int64_t bytes = dynamic_.size() * sizeof dynamic_[0];
    auto* data = reinterpret_cast<unsigned char*>(dynamic_.data());
    Span<unsigned char>(data, bytes).at(first, count * int64_t{sizeof(T)});
    return Span<T>(reinterpret_cast<T*>(data + first), count);
  }

 private:
  struct alignas(16) Chunk {
    unsigned char bytes[16];
  };

  static void poison(void* memory, size_t bytes) { std::memset(memory, 0xa5, bytes); }

  Order order_;
  std::mt19937 random_;
  std::vector<int> turns_;
  int64_t index_ = 0;
  Shared shared_;
  std::vector<Local> locals_;
  std::vector<Chunk> dynamic_;
};

// Runs the whole grid on the host.
template <typename Kernel>
void emulate(const Kernel& kernel, Order order) {
  EmulatedBlock<Kernel> block(kernel, order);
  std::vector<int64_t> blocks;
  for (int64_t index = 0; index < kernel.blocks(); ++index) blocks.push_back(index);
  if (order == Order::kBackwards) std::reverse(blocks.begin(), blocks.end());
  if (order == Order::kShuffled) std::shuffle(blocks.begin(), blocks.end(), std::mt19937());
  for (const int64_t index : blocks) {
    block.start(index);
    kernel.run(block);
  }
}

}  // namespace simplepose
