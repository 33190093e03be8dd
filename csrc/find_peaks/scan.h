// The scan of a map for cells that reach the threshold, and the sub-pixel positions of peaks, shared by the generic and
// the vector code of find_peaks.
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

  // Appends a cell, which is a peak.
  void add(int y, int x) {
    const int64_t cell = int64_t{y} * width + x;
    keys[count++] = uint64_t{descending_bits(map[cell])} << 32 | cell;
  }

  // Appends a cell that reaches the threshold if it is a peak.
  void test(int y, int x) {
    if (is_peak(PlainMap{map, width}, height, width, y, x)) add(y, x);
  }

  // Scans the cells of row y from `begin` on.
  void run_row(int y, int begin) {
    const float* row = map + int64_t{y} * width;
    for (int x = begin; x < width; ++x) {
      if (row[x] >= threshold && row[x] <= FLT_MAX) test(y, x);
    }
  }
};

// How far peaks lie from their cells; the result is in scratch.dx and scratch.dy. The compiler vectorizes the loop for
// the caller.
SP_INLINE void subpixel(PeakScratch& scratch) {
  const float *middle = scratch.values(0), *left = scratch.values(1), *right = scratch.values(2),
              *above = scratch.values(3), *below = scratch.values(4);
  float *dx = scratch.dx.data(), *dy = scratch.dy.data();
  for (size_t i = 0; i < scratch.stride; ++i) {
    const float at = floored_log(middle[i]);
    dx[i] = parabola_vertex(floored_log(left[i]), at, floored_log(right[i]));
    dy[i] = parabola_vertex(floored_log(above[i]), at, floored_log(below[i]));
  }
}

// The scan of all rows of a map, and `subpixel`.
void scan_avx2(Scan& scan);
void scan_avx512(Scan& scan);
void subpixel_avx2(PeakScratch& scratch);
void subpixel_avx512(PeakScratch& scratch);

}  // namespace simplepose
