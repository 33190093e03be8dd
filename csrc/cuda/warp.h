// Exchange between the threads of a warp within a phase: one bit or one value of each thread.
#pragma once

#include "cuda/memory.h"

namespace simplepose {

// Bit i of the result: whether flags[i] is not 0. All threads of a warp must call it.
SP_HD unsigned gather_bits(Fixed<unsigned char, 32>& flags) {
#if defined(__CUDA_ARCH__)
  return __ballot_sync(0xffffffffu, flags[threadIdx.x % 32] != 0);
#else
  unsigned bits = 0;
  for (int i = 0; i < 32; ++i) bits |= (flags[i] != 0 ? 1u : 0u) << i;
  return bits;
#endif
}

// One value of each thread of a warp, which all its threads can read: value i is `own` of thread i.
//
// On the GPU the values are exchanged through `slots`: 32 floats of shared memory, at a multiple of 16 bytes, that only
// this warp uses. All threads of the warp must construct the object, and read it before they construct the next one. On
// the host threads run one by one, so value_of(i) computes the value of thread i; it must equal `own` of that thread.
template <typename ValueOf>
class WarpValues {
 public:
  SP_HD WarpValues(float* slots, int lane, float own, const ValueOf& value_of) : slots_(slots), value_of_(value_of) {
#if defined(__CUDA_ARCH__)
    __syncwarp();  // all threads have read the previous values
    slots[lane] = own;
    __syncwarp();
#else
    check_aligned(slots, sizeof(Group<float, 4>));
    SP_CHECK(float_bits(own) == float_bits(value_of(lane)), "value_of() gives another value than the thread's own");
#endif
  }

  SP_HD float operator[](int slot) const {
#if defined(__CUDA_ARCH__)
    return slots_[slot];
#else
    SP_CHECK_RANGE(slot, 1, 32);
    return value_of_(slot);
#endif
  }

  // Values first to first + 3; first must be a multiple of 4.
  SP_HD Group<float, 4> four(int first) const {
#if defined(__CUDA_ARCH__)
    return *reinterpret_cast<const Group<float, 4>*>(&slots_[first]);
#else
    SP_CHECK_RANGE(first, 4, 32);
    SP_CHECK(first % 4 == 0, "values of a warp that are not aligned");
    return {{value_of_(first), value_of_(first + 1), value_of_(first + 2), value_of_(first + 3)}};
#endif
  }

 private:
  float* slots_;
  const ValueOf& value_of_;
};

}  // namespace simplepose
