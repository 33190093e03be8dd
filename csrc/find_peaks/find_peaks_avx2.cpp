// find_peaks with AVX2: 32 cells at a time are compared with the threshold; those that reach it are tested.
#include "common/simd.h"
#if SP_X86
#include <immintrin.h>

#include <cfloat>

#include "find_peaks/scan.h"

namespace simplepose {
namespace {

// Lanes of `value` that a finite neighbor beats.
SP_AVX2 SP_INLINE __m256 beaten(__m256 value, const float* neighbor, bool wins_ties) {
  const __m256 other = _mm256_loadu_ps(neighbor);
  const __m256 higher = wins_ties ? _mm256_cmp_ps(other, value, _CMP_GE_OQ) : _mm256_cmp_ps(other, value, _CMP_GT_OQ);
  return _mm256_and_ps(higher, _mm256_cmp_ps(other, _mm256_set1_ps(FLT_MAX), _CMP_LE_OQ));
}

// Tests 8 cells of which some reach the threshold: first above and below, then left and right, then in full.
SP_AVX2 SP_INLINE void test_vector(Scan& scan, int y, int x, __m256 value, __m256 reached) {
  const float* at = scan.map + int64_t{y} * scan.width + x;
  __m256 lost = _mm256_cmp_ps(value, _mm256_set1_ps(FLT_MAX), _CMP_GT_OQ);
  if (y > 0) lost = _mm256_or_ps(lost, beaten(value, at - scan.width, true));
  if (y + 1 < scan.height) lost = _mm256_or_ps(lost, beaten(value, at + scan.width, false));
  unsigned left = _mm256_movemask_ps(_mm256_andnot_ps(lost, reached));
  if (left == 0) return;
  if (x > 0) left &= ~_mm256_movemask_ps(beaten(value, at - 1, true));
  if (x + 8 < scan.width) left &= ~_mm256_movemask_ps(beaten(value, at + 1, false));
  for (; left; left &= left - 1) scan.test(y, x + __builtin_ctz(left));
}

}  // namespace

SP_AVX2 void scan_avx2(Scan& scan) {
  const __m256 threshold = _mm256_set1_ps(scan.threshold);
  for (int y = 0; y < scan.height; ++y) {
    const float* row = scan.map + int64_t{y} * scan.width;
    int x = 0;
    for (; x + 32 <= scan.width; x += 32) {
      _mm_prefetch(reinterpret_cast<const char*>(row + x + kPrefetch), _MM_HINT_T0);
      _mm_prefetch(reinterpret_cast<const char*>(row + x + kPrefetch + 16), _MM_HINT_T0);
      __m256 value[4], reached[4];
      for (int i = 0; i < 4; ++i) {
        value[i] = _mm256_loadu_ps(row + x + 8 * i);
        reached[i] = _mm256_cmp_ps(value[i], threshold, _CMP_GE_OQ);
      }
      const __m256 any = _mm256_or_ps(_mm256_or_ps(reached[0], reached[1]), _mm256_or_ps(reached[2], reached[3]));
      if (_mm256_testz_ps(any, any)) continue;
      for (int i = 0; i < 4; ++i) {
        if (!_mm256_testz_ps(reached[i], reached[i])) test_vector(scan, y, x + 8 * i, value[i], reached[i]);
      }
    }
    for (; x + 8 <= scan.width; x += 8) {
      const __m256 value = _mm256_loadu_ps(row + x);
      const __m256 reached = _mm256_cmp_ps(value, threshold, _CMP_GE_OQ);
      if (!_mm256_testz_ps(reached, reached)) test_vector(scan, y, x, value, reached);
    }
    scan.run_row(y, x);
  }
}

SP_AVX2 void floored_logs_avx2(const float* samples, float* out) { floored_logs(samples, out); }

}  // namespace simplepose
#endif
