// Integer operations of kernels: bits of a word, and division by a number that is known on the host.
#pragma once

#include <cstdint>

#include "common/float_maths.h"

namespace simplepose {

SP_HD int count_bits(unsigned word) {
#if defined(__CUDA_ARCH__)
  return __popc(word);
#else
  return __builtin_popcount(word);
#endif
}

SP_HD int lowest_bit(unsigned word) {
#if defined(__CUDA_ARCH__)
  return __ffs(static_cast<int>(word)) - 1;
#else
  return __builtin_ctz(word);
#endif
}

// Divides by a number that is known on the host: a multiplication and a shift, since GPUs have no integer division.
// Exact below 2^31: the multiplier is 2^shift / divisor rounded up, and its error times 2^31 stays below 2^shift. A
// divisor of 0 counts as 1; it occurs for empty maps, for which nothing is divided.
struct Divisor {
  unsigned divisor = 1, multiplier = 1u << 31;
  int shift = 31;

  Divisor() = default;
  explicit Divisor(int64_t number) : divisor(number > 0 ? static_cast<unsigned>(number) : 1u) {
    while ((int64_t{1} << (shift - 31)) < divisor) ++shift;
    multiplier = static_cast<unsigned>(((uint64_t{1} << shift) + divisor - 1) / divisor);
  }

  SP_HD unsigned quotient(unsigned number) const {
    return static_cast<unsigned>(uint64_t{number} * multiplier >> shift);
  }
  SP_HD unsigned rest(unsigned number, unsigned quotient) const { return number - quotient * divisor; }
};

}  // namespace simplepose
