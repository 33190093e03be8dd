// find_peaks on the CPU: one scan of each map for cells above the threshold; only those are looked at again.
#include "find_peaks/find_peaks.h"

#include <algorithm>
#include <cfloat>

#include "common/simd.h"
#if SP_X86
#include <immintrin.h>
#endif

namespace simplepose {
namespace {

// One map; keys receive (score descending, raster index) as one integer each.
struct Scan {
  const float* map;
  int height, width;
  float threshold;
  uint64_t* keys;  // room for every possible peak: no two are neighbours
  size_t count = 0;

  void test(int y, int x) {
    if (!is_peak(PlainMap{map, width}, height, width, y, x)) return;
    const int64_t cell = static_cast<int64_t>(y) * width + x;
    keys[count++] = static_cast<uint64_t>(descending_bits(map[cell])) << 32 | static_cast<uint64_t>(cell);
  }

  void run_generic(int y, int begin) {
    const float* row = map + static_cast<int64_t>(y) * width;
    for (int x = begin; x < width; ++x) {
      if (row[x] >= threshold && row[x] <= FLT_MAX) test(y, x);
    }
  }
};

#if SP_X86
// Lanes of `value` that a finite neighbour beats.
SP_AVX2 SP_INLINE __m256 beaten(__m256 value, const float* neighbour, bool wins_ties) {
  const __m256 other = _mm256_loadu_ps(neighbour);
  const __m256 higher = wins_ties ? _mm256_cmp_ps(other, value, _CMP_GE_OQ) : _mm256_cmp_ps(other, value, _CMP_GT_OQ);
  return _mm256_and_ps(higher, _mm256_cmp_ps(other, _mm256_set1_ps(FLT_MAX), _CMP_LE_OQ));
}

// Tests 8 cells of which some reach the threshold: first above and below, then left and right, then in full.
SP_AVX2 SP_INLINE void test_vector(Scan& scan, int y, int x, __m256 value, __m256 reached) {
  const float* at = scan.map + static_cast<int64_t>(y) * scan.width + x;
  __m256 lost = _mm256_cmp_ps(value, _mm256_set1_ps(FLT_MAX), _CMP_GT_OQ);
  if (y > 0) lost = _mm256_or_ps(lost, beaten(value, at - scan.width, true));
  if (y + 1 < scan.height) lost = _mm256_or_ps(lost, beaten(value, at + scan.width, false));
  unsigned left = static_cast<unsigned>(_mm256_movemask_ps(_mm256_andnot_ps(lost, reached)));
  if (left == 0) return;
  if (x > 0) left &= ~static_cast<unsigned>(_mm256_movemask_ps(beaten(value, at - 1, true)));
  if (x + 8 < scan.width) left &= ~static_cast<unsigned>(_mm256_movemask_ps(beaten(value, at + 1, false)));
  for (; left; left &= left - 1) scan.test(y, x + __builtin_ctz(left));
}

SP_AVX2 void scan_avx2(Scan& scan) {
  const __m256 threshold = _mm256_set1_ps(scan.threshold);
  for (int y = 0; y < scan.height; ++y) {
    const float* row = scan.map + static_cast<int64_t>(y) * scan.width;
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
    scan.run_generic(y, x);
  }
}
#endif

// Logarithms of 8 samples at a time: the loop becomes vector code in the AVX2 clone.
SP_HD void logs(const float* samples, float* out) {
  for (int i = 0; i < 8; ++i) out[i] = floored_log(samples[i]);
}

SP_AVX2 void logs_avx2(const float* samples, float* out) { logs(samples, out); }

void subpixel(const float* map, int height, int width, int y, int x, bool avx2, float* dx, float* dy) {
  const float* at = map + static_cast<int64_t>(y) * width + x;
  const bool inside_x = x > 0 && x + 1 < width, inside_y = y > 0 && y + 1 < height;
  const float samples[8] = {finite(*at),
                            inside_x ? finite(at[-1]) : 1.0f,
                            inside_x ? finite(at[1]) : 1.0f,
                            inside_y ? finite(at[-width]) : 1.0f,
                            inside_y ? finite(at[width]) : 1.0f,
                            1.0f,
                            1.0f,
                            1.0f};
  float values[8];
  avx2 ? logs_avx2(samples, values) : logs(samples, values);
  *dx = inside_x ? parabola_vertex(values[1], values[0], values[2]) : 0.0f;
  *dy = inside_y ? parabola_vertex(values[3], values[0], values[4]) : 0.0f;
}

}  // namespace

void find_peaks(const float* maps, int keypoints, int height, int width, const DecodeSettings& settings, Peaks& peaks,
                std::vector<uint64_t>& keys) {
  peaks.x.clear(), peaks.y.clear(), peaks.score.clear(), peaks.type.clear();
  peaks.first.assign(1, 0);
  peaks.truncated = false;
  keys.resize(static_cast<size_t>((height + 1) / 2) * static_cast<size_t>((width + 1) / 2));
  const bool avx2 = use_avx2();
  const auto limit = static_cast<size_t>(settings.max_peaks);
  for (int type = 0; type < keypoints; ++type) {
    const float* map = maps + static_cast<int64_t>(type) * height * width;
    Scan scan{map, height, width, settings.peak_threshold, keys.data()};
#if SP_X86
    if (avx2) {
      scan_avx2(scan);
    } else
#endif
    {
      for (int y = 0; y < height; ++y) scan.run_generic(y, 0);
    }
    uint64_t *begin = keys.data(), *end = begin + scan.count;
    if (scan.count > limit) {
      peaks.truncated = true;
      std::nth_element(begin, begin + limit, end);
      end = begin + limit;
    }
    std::sort(begin, end);
    for (const uint64_t* key = begin; key != end; ++key) {
      const auto cell = static_cast<uint32_t>(*key);
      const auto y = static_cast<int>(cell / static_cast<uint32_t>(width));
      const auto x = static_cast<int>(cell % static_cast<uint32_t>(width));
      float dx, dy;
      subpixel(map, height, width, y, x, avx2, &dx, &dy);
      peaks.x.push_back(static_cast<float>(x) + dx);
      peaks.y.push_back(static_cast<float>(y) + dy);
      peaks.score.push_back(map[cell]);
      peaks.type.push_back(type);
    }
    peaks.first.push_back(peaks.size());
  }
}

}  // namespace simplepose
