// One way to write a CUDA kernel, so that the very same lines also run on the host, block by block and thread by
// thread.
//
// A kernel is a struct that the launch passes by value:
//
//   static constexpr int kThreads, kMinBlocks;  // threads of a block; blocks that must fit on one multiprocessor
//   int64_t blocks() const;                     // launch geometry, plain host functions
//   int64_t dynamic_bytes() const;              // shared memory beside Shared
//   struct Shared { ... };                      // shared memory of a block: plain data, not initialised
//   struct Local { ... };                       // what a thread keeps from phase to phase: plain data, not initialised
//   template <typename Block> SP_HD void run(Block& block) const;
//
// run() is a row of phases, each followed by a barrier: block.each([&](int thread, Local& local, Shared& shared)
// {...}). What stands between the phases is the same for all threads of a block; it sees shared memory through
// block.read() alone, which copies a value before any thread can change it. On the GPU every thread walks through run()
// with __syncthreads() after each phase; emulate() walks through it once a block and calls each phase for every thread
// in turn, forwards, backwards or shuffled, so that a result that hangs on the order of threads or blocks shows. Memory
// is reached through Span, which checks its bounds there and costs nothing on the GPU.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <random>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include "common/float_maths.h"

#if defined(__CUDACC__)
#include "cuda/device.h"
#endif

namespace simplepose {

// What an emulated kernel did wrong.
struct GridError : std::logic_error {
  using std::logic_error::logic_error;
};

// Out of the way of the code that checks, which is inlined everywhere.
[[noreturn]] inline __attribute__((noinline, cold)) void bounds_error(int64_t first, int64_t count, int64_t size) {
  throw GridError("elements " + std::to_string(first) + " to " + std::to_string(first + count - 1) + " of " +
                  std::to_string(size));
}

// `size` elements from `data`; an index outside them throws in the emulation.
template <typename T>
class Span {
 public:
  Span() = default;
  SP_HD Span(T* data, int64_t size) : data_(data), size_(size) {}

  SP_HD int64_t size() const { return size_; }
  SP_HD T& operator[](int64_t index) const {
    check(index, 1);
    return data_[index];
  }
  SP_HD Span part(int64_t first, int64_t count) const {
    check(first, count);
    return Span(data_ + first, count);
  }
  // The address of `count` elements from `first` on.
  SP_HD T* at(int64_t first, int64_t count) const {
    check(first, count);
    return data_ + first;
  }

 private:
  SP_HD void check(int64_t first, int64_t count) const {
#if !defined(__CUDA_ARCH__)
    if (first < 0 || count < 0 || first > size_ - count) bounds_error(first, count, size_);
#else
    (void)first, (void)count;
#endif
  }

  T* data_ = nullptr;
  int64_t size_ = 0;
};

// An array in Shared or Local whose bounds the emulation checks.
template <typename T, int kSize>
struct Fixed {
  T elements[kSize];

  SP_HD T& operator[](int64_t index) {
#if !defined(__CUDA_ARCH__)
    if (index < 0 || index >= kSize) bounds_error(index, 1, kSize);
#endif
    return elements[index];
  }
};

// As many elements as one 16-byte access moves.
template <typename T>
struct alignas(16) Vector {
  static constexpr int kLanes = 16 / static_cast<int>(sizeof(T));
  T lanes[kLanes];
};

template <typename T>
SP_HD void check_vector(const T* address) {
#if !defined(__CUDA_ARCH__)
  if (reinterpret_cast<uintptr_t>(address) % 16 != 0) throw GridError("a 16-byte access that is not aligned");
#else
  (void)address;
#endif
}

// Elements from `first` on, in one access; nothing may write them while the kernel runs.
template <typename T>
SP_HD Vector<std::remove_const_t<T>> load_vector(const Span<T>& from, int64_t first) {
  Vector<std::remove_const_t<T>> vector;
  const T* address = from.at(first, vector.kLanes);
  check_vector(address);
#if defined(__CUDA_ARCH__)
  const uint4 bits = __ldg(reinterpret_cast<const uint4*>(address));
  memcpy(&vector, &bits, sizeof vector);
#else
  std::memcpy(&vector, address, sizeof vector);
#endif
  return vector;
}

template <typename T>
SP_HD void store_vector(const Span<T>& to, int64_t first, const Vector<T>& vector) {
  T* address = to.at(first, vector.kLanes);
  check_vector(address);
#if defined(__CUDA_ARCH__)
  uint4 bits;
  memcpy(&bits, &vector, sizeof bits);
  *reinterpret_cast<uint4*>(address) = bits;
#else
  std::memcpy(address, &vector, sizeof vector);
#endif
}

// Atomic on the GPU; the value before it. The order in which threads come is not defined.
template <typename T>
SP_HD T fetch_add(T& counter, T value) {
#if defined(__CUDA_ARCH__)
  return atomicAdd(&counter, value);
#else
  const T before = counter;
  counter = static_cast<T>(before + value);
  return before;
#endif
}

SP_HD void fetch_or(unsigned& word, unsigned bits) {
#if defined(__CUDA_ARCH__)
  atomicOr(&word, bits);
#else
  word |= bits;
#endif
}

SP_HD int count_bits(unsigned word) {
#if defined(__CUDA_ARCH__)
  return __popc(word);
#else
  return __builtin_popcount(word);
#endif
}

// The order in which the emulation takes blocks and, in each phase, threads.
enum class Order { kForwards, kBackwards, kShuffled };

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

  // Memory of a block that has just started holds anything.
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
    for (const int thread : turns_) phase(thread, locals_[static_cast<size_t>(thread)], shared_);
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
    const auto bytes = static_cast<int64_t>(dynamic_.size() * sizeof dynamic_[0]);
    auto* data = reinterpret_cast<unsigned char*>(dynamic_.data());
    Span<unsigned char>(data, bytes).at(first, count * static_cast<int64_t>(sizeof(T)));
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

#if defined(__CUDACC__)

// The same for one thread of the GPU; what the host pass of the compiler sees of it is never called.
template <typename Kernel>
class DeviceBlock {
  using Shared = typename Kernel::Shared;
  using Local = typename Kernel::Local;

 public:
  SP_HD DeviceBlock(Shared& shared, unsigned char* dynamic) : shared_(shared), dynamic_(dynamic) {}

  SP_HD int64_t index() const {
#if defined(__CUDA_ARCH__)
    return blockIdx.x;
#else
    return 0;
#endif
  }

  template <typename Phase>
  SP_HD void each(Phase&& phase) {
    phase(thread(), local_, shared_);
    barrier();
  }

  template <typename Phase>
  SP_HD bool any(Phase&& phase) {
    const bool answer = phase(thread(), local_, shared_);
#if defined(__CUDA_ARCH__)
    return __syncthreads_or(answer);
#else
    return answer;
#endif
  }

  template <typename Get>
  SP_HD auto read(Get&& get) {
    const auto value = get(static_cast<const Shared&>(shared_));
    barrier();
    return value;
  }

  template <typename T>
  SP_HD Span<T> dynamic(int64_t first, int64_t count) {
    return Span<T>(reinterpret_cast<T*>(dynamic_ + first), count);
  }

 private:
  SP_HD static int thread() {
#if defined(__CUDA_ARCH__)
    const int thread = static_cast<int>(threadIdx.x);
    __builtin_assume(thread >= 0 && thread < Kernel::kThreads);  // divisions by powers of two then are shifts
    return thread;
#else
    return 0;
#endif
  }

  SP_HD static void barrier() {
#if defined(__CUDA_ARCH__)
    __syncthreads();
#endif
  }

  Shared& shared_;
  unsigned char* dynamic_;
  Local local_;
};

template <typename Kernel>
__global__ void __launch_bounds__(Kernel::kThreads, Kernel::kMinBlocks)
    run_kernel(const __grid_constant__ Kernel kernel) {
  __shared__ __align__(16) unsigned char fixed[sizeof(typename Kernel::Shared)];
  extern __shared__ __align__(16) unsigned char dynamic[];
  DeviceBlock<Kernel> block(*reinterpret_cast<typename Kernel::Shared*>(fixed), dynamic);
  kernel.run(block);
}

// Once a device: blocks may have all the shared memory that there is. Where a block needs much of it whatever the
// launch asks for, a multiprocessor sets all aside for it that it can; otherwise the driver chooses.
template <typename Kernel>
void prepare(const char* op) {
  static std::atomic<uint64_t> prepared{0};
  int device = 0, most = 0;
  (void)cudaGetDevice(&device);
  const uint64_t bit = device < 64 ? uint64_t{1} << device : 0;
  if (prepared.load() & bit) return;
  constexpr size_t kMuch = 16 << 10, kFixed = sizeof(typename Kernel::Shared);
  (void)cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
  (void)cudaFuncSetAttribute(run_kernel<Kernel>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                             most - static_cast<int>(kFixed));
  if constexpr (kFixed > kMuch)
    (void)cudaFuncSetAttribute(run_kernel<Kernel>, cudaFuncAttributePreferredSharedMemoryCarveout,
                               cudaSharedmemCarveoutMaxShared);
  check_launch(op);
  prepared.fetch_or(bit);
}

// Enqueues the kernel on the current device. Throws if the launch fails or the grid is too large for one.
template <typename Kernel>
void launch(const char* op, const Kernel& kernel, void* stream) {
  const int64_t blocks = kernel.blocks();
  if (blocks == 0) return;
  if (blocks > 0x7fffffff)
    throw std::runtime_error(std::string(op) + ": the batch is too large for one launch (" + std::to_string(blocks) +
                             " blocks)");
  const auto dynamic = static_cast<size_t>(kernel.dynamic_bytes());
  prepare<Kernel>(op);
  run_kernel<Kernel>
      <<<static_cast<unsigned>(blocks), Kernel::kThreads, dynamic, static_cast<cudaStream_t>(stream)>>>(kernel);
  check_launch(op);
}

#endif

}  // namespace simplepose
