// Which vector instructions the ops may use, decided once at run time: one build serves every x86-64 processor.
//
// The AVX2 code of an op stands in <op>_avx2.cpp, generic code beside it. Functions marked SP_AVX2 are compiled for
// AVX2; where they call an SP_INLINE function, its lines become vector code there. Results do not differ.
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

// How many cells ahead a pass over a map prefetches. The hardware prefetcher stops at every page.
constexpr int kPrefetch = 2048;

// False where the processor has no AVX2 or the environment says SIMPLEPOSE_SIMD=generic, which is read once.
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
