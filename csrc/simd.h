// Run-time choice of the instruction set: no build option decides what a wheel needs.
#pragma once

#if (defined(__x86_64__) || defined(__i386__)) && (defined(__GNUC__) || defined(__clang__))
#define SP_X86 1
#define SP_AVX2 __attribute__((target("avx2")))
#else
#define SP_X86 0
#define SP_AVX2
#endif
#define SP_INLINE inline __attribute__((always_inline))

namespace simplepose {

// Cells ahead of a pass over a map that are fetched: the processor's own prefetching stops at every page.
constexpr int kPrefetch = 2048;

// Whether the processor has AVX2 and the environment variable SIMPLEPOSE_SIMD is not "generic"; decided once.
bool use_avx2();

}  // namespace simplepose
