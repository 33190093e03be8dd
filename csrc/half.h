// float16 and bfloat16 as the CPU and the CUDA code store them, rounded from float32 to nearest, ties to even.
#pragma once

#include <cstdint>

#include "hd.h"

#if defined(__CUDACC__)
#include <cuda_fp16.h>
#endif

namespace simplepose {

struct Half {
  uint16_t bits;
};

struct BFloat {
  uint16_t bits;
};

// Finite values; what is too large becomes infinite.
SP_HD void round_to(float value, Half* result) {
#if defined(__CUDA_ARCH__)
  result->bits = __half_as_ushort(__float2half_rn(value));
#else
  const uint32_t bits = static_cast<uint32_t>(float_bits(value));
  const uint32_t magnitude = bits & 0x7fffffff;
  uint32_t half;
  if (magnitude >= 0x477ff000) {  // 65520 and more: past the middle between the largest float16 and 65536
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

}  // namespace simplepose
