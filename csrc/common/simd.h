// The vector instructions that the ops may use. They are selected once at run time, so one build runs on every x86-64
// processor.
//
// The generic code of an op is in <op>.cpp. Functions marked SP_AVX2 or SP_AVX512 are compiled for these instructions;
// the compiler inlines and vectorizes SP_INLINE functions that they call. Code that is written in vectors stands once,
// in <op>_vectors.h, for the lanes of common/vectors_avx2.h or common/vectors_avx512.h: <op>_avx2.cpp and
// <op>_avx512.cpp include both headers. The results are bit-identical.
#pragma once

#include <cstdlib>
#include <cstring>

#define SP_INLINE inline __attribute__((always_inline))

#if defined(__x86_64__)
#define SP_X86 1
#define SP_AVX2 __attribute__((target("avx2")))
#if defined(__clang__)  // it has no such attribute for the width that the vectorizer prefers
#define SP_AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,bmi2")))
#else
#define SP_AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,bmi2,prefer-vector-width=512")))
#endif
#else
#define SP_X86 0
#define SP_AVX2
#define SP_AVX512
#endif

namespace simplepose {

// The number of cells that a pass over a map prefetches ahead. The hardware prefetcher stops at every page.
constexpr int kPrefetch = 2048;

enum class Simd { kGeneric, kAvx2, kAvx512 };

// The widest instructions that the processor has and the environment variable SIMPLEPOSE_SIMD allows: "generic" and
// "avx2" are upper limits. The variable is read once.
inline Simd simd() {
#if SP_X86
  static const Simd found = [] {
    const char* wish = std::getenv("SIMPLEPOSE_SIMD");
    const auto wished = [wish](const char* name) { return wish && std::strcmp(wish, name) == 0; };
    if (!__builtin_cpu_supports("avx2") || wished("generic")) return Simd::kGeneric;
    const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                        __builtin_cpu_supports("bmi2");
    return avx512 && !wished("avx2") ? Simd::kAvx512 : Simd::kAvx2;
  }();
  return found;
#else
  return Simd::kGeneric;
#endif
}

inline bool use_avx2() { return simd() >= Simd::kAvx2; }
inline bool use_avx512() { return simd() == Simd::kAvx512; }

}  // namespace simplepose
