// Float32 arithmetic that the CPU and the CUDA code share, so that they give the same bits.
//
// Both compile without fused multiply-add (-ffp-contract=off, -fmad=false). Every operation is correctly rounded, and
// the operations have the order of simplepose/ops/reference/maths.py.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#if defined(__CUDACC__)
#define SP_HD __host__ __device__ __forceinline__
#else
#define SP_HD inline __attribute__((always_inline))
#endif

// For loops over an array that must stay in registers: registers cannot be indexed by a variable.
#if defined(__CUDA_ARCH__)
#define SP_UNROLL _Pragma("unroll")
#else
#define SP_UNROLL
#endif

namespace simplepose {

SP_HD int32_t float_bits(float x) {
#if defined(__CUDA_ARCH__)
  return __float_as_int(x);
#else
  int32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
#endif
}

SP_HD float bits_float(int32_t bits) {
#if defined(__CUDA_ARCH__)
  return __int_as_float(bits);
#else
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
#endif
}

// Non-finite values in a map read as 0.
SP_HD float finite(float x) {
#if defined(__CUDA_ARCH__)
  return fabsf(x) < INFINITY ? x : 0.0f;  // one instruction fewer than the other test
#else
  return (float_bits(x) & 0x7f800000) == 0x7f800000 ? 0.0f : x;
#endif
}

// 2^-e for e >= 0; e above 126 and NaN count as 126.
SP_HD float exp2_minus(float e) {
  constexpr float kRounder = 12582912.0f;  // 1.5 * 2^23: rounds half to even, and leaves the integer in the lowest bits
  e = e < 126.0f ? e : 126.0f;
  const float rounded = kRounder - e;
  const float f = (kRounder - rounded) - e;
  float p = 0.0013264727f;
  p = p * f + 0.009671513f;
  p = p * f + 0.055507336f;
  p = p * f + 0.24022242f;
  p = p * f + 0.693147f;
  p = p * f + 1.0f;
  return bits_float(
      static_cast<int32_t>(static_cast<uint32_t>(float_bits(p)) + (static_cast<uint32_t>(float_bits(rounded)) << 23)));
}

// Natural logarithm of a positive normal number.
SP_HD float log32(float x) {
  const int32_t bits = float_bits(x);
  const int32_t exponent = (bits - 0x3f3504f3) >> 23;  // x = m 2^exponent with m in [sqrt(1/2), sqrt(2))
  const float f = bits_float(bits - static_cast<int32_t>(static_cast<uint32_t>(exponent) << 23)) - 1.0f;
  float p = 0.071469784f;
  p = p * f + -0.115717955f;
  p = p * f + 0.116629444f;
  p = p * f + -0.12411018f;
  p = p * f + 0.14249754f;
  p = p * f + -0.16668478f;
  p = p * f + 0.20000716f;
  p = p * f + -0.2499999f;
  p = p * f + 0.3333333f;
  const float f2 = f * f;
  return static_cast<float>(exponent) * 0.6931472f + ((f - 0.5f * f2) + (f2 * f) * p);
}

}  // namespace simplepose
