// The scan of a map for cells that reach the threshold, shared by the generic and the AVX2 code of find_peaks.
#pragma once

#include <cfloat>

#include "common/simd.h"
#include "find_peaks/find_peaks.h"

namespace simplepose {

// The scan of one map for peaks. Each peak is stored in `keys` as one integer: (descending score, raster index).
struct Scan {
  const float* map = nullptr;
  int height = 0, width = 0;
  float threshold = 0.0f;
  uint64_t* keys = nullptr;  // with room for every possible peak: no two peaks are neighbors
  size_t count = 0;

  // Appends a cell that reaches the threshold if it is a peak.
  void test(int y, int x) {
    if (!is_peak(PlainMap{map, width}, height, width, y, x)) return;
    const int64_t cell = int64_t{y} * width + x;
    keys[count++] = uint64_t{descending_bits(map[cell])} << 32 | cell;
  }

  // Scans the cells of row y from `begin` on.
  void run_row(int y, int begin) {
    const float* row = map + int64_t{y} * width;
    for (int x = begin; x < width; ++x) {
      if (row[x] >= threshold && row[x] <= FLT_MAX) test(y, x);
    }
  }
};

// Logarithms of 8 samples. The compiler vectorizes the loop if the caller is compiled for AVX2.
SP_INLINE void floored_logs(const float* samples, float* out) {
  for (int i = 0; i < 8; ++i) out[i] = floored_log(samples[i]);
}

// The same for processors with AVX2: the scan of all rows of a map, and 8 logarithms.
void scan_avx2(Scan& scan);
void floored_logs_avx2(const float* samples, float* out);

}  // namespace simplepose
