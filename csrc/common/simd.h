// The vector instructions that the ops may use. They are selected once at run time, so one build runs on every x86-64
// processor.
//
// The AVX2 code of an op is in <op>_avx2.cpp, the generic code in <op>.cpp. Functions marked SP_AVX2 are compiled for
// AVX2; the compiler inlines and vectorizes SP_INLINE functions that they call. The results are bit-identical.
#pragma once

#include <cstdlib>
#include <cstring>

#define SP_INLINE inline __attribute__((always_inline))

#if defined(__x86_64__)
#define SP_X86 1
#define SP_AVX2 __attribute__((target("avx2")))
#else
#define SP_X86 0
#define SP_AVX2
#endif

namespace simplepose {

// The number of cells that a pass over a map prefetches ahead. The hardware prefetcher stops at every page.
constexpr int kPrefetch = 2048;

// False if the processor has no AVX2 or the environment variable SIMPLEPOSE_SIMD is "generic". The variable is read
// once.
inline bool use_avx2() {
#if SP_X86
  static const bool found = [] {
    const char* wish = std::getenv("SIMPLEPOSE_SIMD");
    return __builtin_cpu_supports("avx2") && !(wish && std::strcmp(wish, "generic") == 0);
  }();
  return found;
#else
  return false;
#endif
}

}  // namespace simplepose
