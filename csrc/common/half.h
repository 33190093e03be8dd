// float16 and bfloat16: exact conversion to float32, and from float32 rounded to nearest, ties to even.
#pragma once

#include <cstdint>

#include "common/float_maths.h"

#if defined(__CUDACC__)
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#endif

namespace simplepose {

struct Half {
  uint16_t bits;
};

struct BFloat {
  uint16_t bits;
};

// The element type of maps.
enum class MapType { kFloat32, kFloat16, kBFloat16 };

// The conversion is exact.
SP_HD float to_float(float value) { return value; }
SP_HD float to_float(BFloat value) { return bits_float(static_cast<int32_t>(static_cast<uint32_t>(value.bits) << 16)); }
SP_HD float to_float(Half value) {
#if defined(__CUDA_ARCH__)
  return __half2float(__ushort_as_half(value.bits));
#else
  const uint32_t sign = (value.bits & 0x8000u) << 16, exponent = value.bits >> 10 & 31u, fraction = value.bits & 1023u;
  if (exponent == 0) {
    const float size = static_cast<float>(fraction) * (1.0f / 16777216.0f);
    return sign ? -size : size;
  }
  const uint32_t biased = exponent == 31 ? 255u : exponent + 112u;
  return bits_float(static_cast<int32_t>(sign | biased << 23 | fraction << 13));
#endif
}

// For finite values; values that are too large become infinite.
SP_HD void round_to(float value, Half* result) {
#if defined(__CUDA_ARCH__)
  result->bits = __half_as_ushort(__float2half_rn(value));
#else
  const uint32_t bits = static_cast<uint32_t>(float_bits(value));
  const uint32_t magnitude = bits & 0x7fffffff;
  uint32_t half;
  if (magnitude >= 0x477ff000) {  // 65520 and more are rounded to infinity; the largest float16 is 65504
    half = 0x7c00;
  } else if (magnitude < 0x38800000) {  // below 2^-14: steps of 2^-24, which adding 1/2 rounds to
    half = static_cast<uint32_t>(float_bits(bits_float(static_cast<int32_t>(magnitude)) + 0.5f)) - 0x3f000000;
  } else {
    half = (magnitude - 0x38000000 + 0xfff + ((magnitude >> 13) & 1)) >> 13;
  }
  result->bits = static_cast<uint16_t>(half | (bits >> 16 & 0x8000));
#endif
}

SP_HD void round_to(float value, BFloat* result) {
  const uint32_t bits = static_cast<uint32_t>(float_bits(value));
  result->bits = static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

SP_HD void round_to(float value, float* result) { *result = value; }

// Converts two values at once; GPUs have one instruction for it.
template <typename Out>
SP_HD void round_two(float first, float second, Out* results) {
  round_to(first, &results[0]);
  round_to(second, &results[1]);
}

#if defined(__CUDA_ARCH__)
SP_HD void round_two(float first, float second, Half* results) {
  const __half2 pair = __floats2half2_rn(first, second);
  results[0].bits = __half_as_ushort(__low2half(pair));
  results[1].bits = __half_as_ushort(__high2half(pair));
}
#endif
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
SP_HD void round_two(float first, float second, BFloat* results) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(first, second);
  results[0].bits = __bfloat16_as_ushort(__low2bfloat16(pair));
  results[1].bits = __bfloat16_as_ushort(__high2bfloat16(pair));
}
#endif

}  // namespace simplepose
