// Memory access of kernels: spans and arrays, accesses of several elements at once, and atomic operations.
//
// The host emulator of the tests runs kernels thread by thread. It defines SP_CHECK_RANGE and SP_CHECK before it
// includes this header, and so detects every index that is out of bounds and every access that is not aligned. In other
// builds the checks are empty.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "common/float_maths.h"

#if !defined(SP_CHECK)
#define SP_CHECK_RANGE(first, count, size) ((void)(first), (void)(count), (void)(size))
#define SP_CHECK(condition, message) ((void)sizeof(condition))
#endif

namespace simplepose {

// `size` elements from `data`.
template <typename T>
class Span {
 public:
  Span() = default;
  SP_HD Span(T* data, int64_t size) : data_(data), size_(size) {}

  SP_HD int64_t size() const { return size_; }
  SP_HD T& operator[](int64_t index) const {
    SP_CHECK_RANGE(index, 1, size_);
    return data_[index];
  }
  SP_HD Span part(int64_t first, int64_t count) const {
    SP_CHECK_RANGE(first, count, size_);
    return Span(data_ + first, count);
  }
  // The address of `count` elements from `first` on.
  SP_HD T* at(int64_t first, int64_t count) const {
    SP_CHECK_RANGE(first, count, size_);
    return data_ + first;
  }

 private:
  T* data_ = nullptr;
  int64_t size_ = 0;
};

// A fixed-size array for a kernel's Shared or Local.
template <typename T, int kSize>
struct Fixed {
  T elements[kSize];

  SP_HD T& operator[](int64_t index) {
    SP_CHECK_RANGE(index, 1, kSize);
    return elements[index];
  }
};

// `kCount` neighboring elements, moved by one access if their address is a multiple of their total size.
template <typename T, int kCount>
struct alignas(kCount * sizeof(T)) Group {
  T cells[kCount];
};

// The number of elements that one 16-byte access moves.
template <typename T>
struct alignas(16) Vector {
  static constexpr int kLanes = 16 / static_cast<int>(sizeof(T));
  T lanes[kLanes];
};

SP_HD void check_aligned(const void* address, size_t bytes) {
  SP_CHECK(reinterpret_cast<uintptr_t>(address) % bytes == 0, "an access of several elements that is not aligned");
}

// Elements from `first` on, in one access; nothing may write them while the kernel runs.
template <typename T>
SP_HD Vector<std::remove_const_t<T>> load_vector(const Span<T>& from, int64_t first) {
  Vector<std::remove_const_t<T>> vector;
  const T* address = from.at(first, vector.kLanes);
  check_aligned(address, sizeof vector);
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
  check_aligned(address, sizeof vector);
#if defined(__CUDA_ARCH__)
  uint4 bits;
  memcpy(&bits, &vector, sizeof bits);
  *reinterpret_cast<uint4*>(address) = bits;
#else
  std::memcpy(address, &vector, sizeof vector);
#endif
}

// Atomic on the GPU. Returns the value before the addition; the order of the threads is not defined.
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

// Atomic on the GPU. For values that are not negative: their bits have the order of the values.
SP_HD void keep_larger(float& cell, float value) {
#if defined(__CUDA_ARCH__)
  atomicMax(reinterpret_cast<int*>(&cell), __float_as_int(value));
#else
  cell = cell > value ? cell : value;
#endif
}

// The same address, whose origin is hidden from the compiler. The compiler then adds an index to the address in one
// instruction; otherwise it may add the index to the terms of which the address is the sum.
template <typename T>
SP_HD T* opaque(T* address) {
#if defined(__CUDA_ARCH__)
  asm("" : "+l"(address));
  __builtin_assume(__isGlobal(address));
#endif
  return address;
}

}  // namespace simplepose
