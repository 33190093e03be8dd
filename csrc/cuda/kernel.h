// The form of the CUDA kernels: a struct whose run() is a sequence of phases, with a barrier after each.
//
//   struct ReverseRows {  // of 128 elements each
//     static constexpr int kThreads = 128, kMinBlocks = 8;  // of a block; blocks that must fit on one multiprocessor
//     struct Shared { Fixed<float, kThreads> row; };        // shared memory of a block: plain data, not initialized
//     struct Local {};                                      // variables of a thread between phases, likewise
//     Span<float> rows;
//
//     int64_t blocks() const { return rows.size() / kThreads; }
//     int64_t dynamic_bytes() const { return 0; }           // shared memory beside Shared
//     template <typename Block> SP_HD void run(Block& block) const {
//       const int64_t first = block.index() * kThreads;
//       block.each([&](int i, Local&, Shared& shared) { shared.row[i] = rows[first + i]; });
//       block.each([&](int i, Local&, Shared& shared) { rows[first + i] = shared.row[kThreads - 1 - i]; });
//     }
//   };
//   launch("reverse_rows", ReverseRows{{data, count}}, stream);
//
// A Block has these members. The code between phases is the same for all threads of a block.
//
//   index()                 the number of the block
//   each(phase)             calls phase(thread, local, shared) for every thread, then a barrier
//   any(phase)              the same; returns whether the phase returned true for any thread
//   read(get)               get(shared) between phases, copied before any thread can change it
//   dynamic<T>(first, n)    a Span of n elements of the dynamic shared memory from byte `first` on
//
// DeviceBlock is the Block of one thread on the GPU. The tests have another one, which runs the same code on the host:
// tests/helpers/cuda_emulator/emulator.h.
#pragma once

#include "cuda/memory.h"

#if defined(__CUDACC__)
#include <atomic>
#include <stdexcept>
#include <string>

#include "cuda/device.h"

namespace simplepose {

// The Block of one thread on the GPU. The compiler also sees it in its pass for the host, where nothing calls it.
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
    const int thread = threadIdx.x;
    __builtin_assume(thread >= 0 && thread < Kernel::kThreads);  // then divisions by powers of two are shifts
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

// Called once for each device: allows blocks to use all shared memory of the device. For kernels with much static
// shared memory it also requests the largest carve-out; for other kernels the driver chooses.
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
  const size_t dynamic = kernel.dynamic_bytes();
  prepare<Kernel>(op);
  run_kernel<Kernel>
      <<<static_cast<unsigned>(blocks), Kernel::kThreads, dynamic, static_cast<cudaStream_t>(stream)>>>(kernel);
  check_launch(op);
}

}  // namespace simplepose
#endif
