// What the threads of a warp exchange within a phase: one bit each, or one value each.
#pragma once

#include "cuda/memory.h"

namespace simplepose {

// Bit i: whether flags[i] is not 0. All threads of a warp must call it.
SP_HD unsigned gather_bits(Fixed<unsigned char, 32>& flags) {
#if defined(__CUDA_ARCH__)
  return __ballot_sync(0xffffffffu, flags[threadIdx.x % 32] != 0);
#else
  unsigned bits = 0;
  for (int i = 0; i < 32; ++i) bits |= (flags[i] != 0 ? 1u : 0u) << i;
  return bits;
#endif
}

// What the threads of a warp show each other: slot i is `own` of thread i. Where threads run one by one nothing is
// shown: value_of(i) works out what thread i would show, and must give that for every i. `slots` are 32 of shared
// memory, from a multiple of 16 bytes on, that only this warp uses; all its threads must make the object, and read it
// before they make the next.
template <typename ValueOf>
class WarpValues {
 public:
  SP_HD WarpValues(float* slots, int lane, float own, const ValueOf& value_of) : slots_(slots), value_of_(value_of) {
#if defined(__CUDA_ARCH__)
    __syncwarp();  // the values before are read
    slots[lane] = own;
    __syncwarp();
#else
    check_aligned(slots, sizeof(Group<float, 4>));
    SP_CHECK(float_bits(own) == float_bits(value_of(lane)), "a thread shows another value than its own");
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

  // Slots first to first + 3, first a multiple of 4.
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
