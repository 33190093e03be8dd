// The run-time check behind use_avx2.
#include "simd.h"

#include <cstdlib>
#include <cstring>

namespace simplepose {

bool use_avx2() {
#if SP_X86
  static const bool use = [] {
    const char* wish = std::getenv("SIMPLEPOSE_SIMD");
    return !(wish && std::strcmp(wish, "generic") == 0) && __builtin_cpu_supports("avx2");
  }();
  return use;
#else
  return false;
#endif
}

}  // namespace simplepose
