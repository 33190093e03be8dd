// What kernels need beside csrc/grid.h, the same on the GPU and in the emulation: bits of a warp, maxima, cheap
// division.
#pragma once

#include <cstdint>

#include "grid.h"

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

SP_HD int lowest_bit(unsigned word) {
#if defined(__CUDA_ARCH__)
  return __ffs(static_cast<int>(word)) - 1;
#else
  return __builtin_ctz(word);
#endif
}

// Values that are not negative: their bits have the order of the values.
SP_HD void keep_larger(float& cell, float value) {
#if defined(__CUDA_ARCH__)
  atomicMax(reinterpret_cast<int*>(&cell), __float_as_int(value));
#else
  cell = cell > value ? cell : value;
#endif
}

// Divides by a number that the host knows, without the division that GPUs lack. Exact below 2^31: the multiplier is
// 2^shift / divisor rounded up, and its error times 2^31 stays below 2^shift.
struct Divisor {
  unsigned divisor = 1, multiplier = 1u << 31;
  int shift = 31;

  Divisor() = default;
  explicit Divisor(int64_t number) : divisor(static_cast<unsigned>(number)) {
    while ((int64_t{1} << (shift - 31)) < number) ++shift;
    multiplier = static_cast<unsigned>(((uint64_t{1} << shift) + divisor - 1) / divisor);
  }

  SP_HD unsigned quotient(unsigned number) const {
    return static_cast<unsigned>(uint64_t{number} * multiplier >> shift);
  }
  SP_HD unsigned rest(unsigned number, unsigned quotient) const { return number - quotient * divisor; }
};

// Four neighbouring cells, one access where they lie at a multiple of their size.
template <typename T>
struct alignas(4 * sizeof(T)) Four {
  T cells[4];
};

}  // namespace simplepose
