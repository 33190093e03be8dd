// What kernels need beside kernel.h, the same on the GPU and in the emulation: bits and values that the threads of a
// warp show each other, maxima, groups of cells, cheap indices and division.
#pragma once

#include <cstdint>

#include "cuda/kernel.h"

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

// The same address of the GPU's memory, of which the compiler does not know how it came about: an index is then added
// to it in one instruction, instead of to all that it was made from.
template <typename T>
SP_HD T* opaque(T* address) {
#if defined(__CUDA_ARCH__)
  asm("" : "+l"(address));
  __builtin_assume(__isGlobal(address));
#endif
  return address;
}

// Divides by a number that the host knows, without the division that GPUs lack. Exact below 2^31: the multiplier is
// 2^shift / divisor rounded up, and its error times 2^31 stays below 2^shift. 0, of which there is nothing to divide,
// counts as 1.
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

// Neighbouring cells of a row, one access where they lie at a multiple of their size.
template <typename T, int kCount>
struct alignas(kCount * sizeof(T)) Group {
  T cells[kCount];
};

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
    check_vector(slots);
    if (float_bits(own) != float_bits(value_of(lane))) throw GridError("a thread shows another value than its own");
#endif
  }

  SP_HD float operator[](int slot) const {
#if defined(__CUDA_ARCH__)
    return slots_[slot];
#else
    check(slot, 1);
    return value_of_(slot);
#endif
  }

  // Slots first to first + 3, first a multiple of 4.
  SP_HD Group<float, 4> four(int first) const {
#if defined(__CUDA_ARCH__)
    return *reinterpret_cast<const Group<float, 4>*>(&slots_[first]);
#else
    check(first, 4);
    return {{value_of_(first), value_of_(first + 1), value_of_(first + 2), value_of_(first + 3)}};
#endif
  }

 private:
  static void check(int first, int count) {
    if (first < 0 || first > 32 - count) bounds_error(first, count, 32);
    if (first % count != 0) throw GridError("values of a warp that are not aligned");
  }

  float* slots_;
  const ValueOf& value_of_;
};

}  // namespace simplepose
