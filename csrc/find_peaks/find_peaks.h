// find_peaks: heatmap NMS with sub-pixel positions (rule 1). Reference: find_peaks of the reference implementation.
//
// A cell is a peak if its value is at least the threshold and it precedes its 8 neighbors in the order (higher value,
// then lower raster index). Cells outside the map are ignored, and non-finite values read as 0. Sub-pixel offsets are
// the vertices of parabolas through logarithms, rounded to 1/256 cell.
#pragma once

#include <vector>

#include "common/float_maths.h"
#include "common/types.h"

namespace simplepose {

// Memory of find_peaks, reused by later calls.
struct PeakScratch {
  std::vector<uint64_t> keys;  // the peaks of one type, as integers that are ordered by score
  std::vector<int64_t> cells;  // [peaks] where the cell of the peak lies in the maps
  // Rows [5, stride] of map values: the cells of the peaks, then those to the left, to the right, above and below.
  // Values that are not finite are 0. At the border of an axis both neighbors are 1, which makes the offset 0.
  std::vector<float> samples;
  std::vector<float> dx, dy;  // [stride] how far the peaks lie from their cells
  size_t stride = 0;          // the number of peaks, rounded up to full vectors

  float* values(int row) { return samples.data() + row * stride; }
};

// Keypoint maps [J, height, width], row by row; threshold > 0.
void find_peaks(const float* maps, int keypoints, int height, int width, const DecodeSettings& settings, Peaks& peaks,
                PeakScratch& scratch);

// Whether cell (x, y), whose value is at least the threshold, is a peak. `map(y, x)` reads a cell.
template <typename Map>
SP_HD bool is_peak(const Map& map, int height, int width, int y, int x) {
  const float value = finite(map(y, x));
  bool beaten = false;
#if defined(__CUDA_ARCH__)
#pragma unroll
#endif
  for (int neighbor = 0; neighbor < 9; ++neighbor) {
    const int v = y + neighbor / 3 - 1, u = x + neighbor % 3 - 1;
    const bool inside = neighbor != 4 && v >= 0 && v < height && u >= 0 && u < width;
    const bool earlier = neighbor < 4;  // of equal values, the earlier one is the peak
#if defined(__CUDA_ARCH__)
    // All neighbors are read at once, so that a thread waits for memory once. Outside the map, the cell is read.
    const float other = finite(map(inside ? v : y, inside ? u : x));
    beaten |= inside && (earlier ? other >= value : other > value);
#else
    if (!inside) continue;
    const float other = finite(map(v, u));
    if (earlier ? other >= value : other > value) return false;
#endif
  }
  return !beaten;
}

constexpr float kLogFloor = 1e-3f;  // samples below it are raised to it before the logarithm

// The vertex of the parabola through three logarithms, in cells from the middle one. It is clamped to half a cell,
// rounded to 1/256 cell, and 0 if the second difference is not negative.
SP_HD float parabola_vertex(float before, float middle, float after) {
  const float curvature = (before - middle) + (after - middle);
  if (!(curvature < 0.0f)) return 0.0f;
  float offset = (0.5f * (before - after)) / curvature;
  offset = offset < -0.5f ? -0.5f : (offset > 0.5f ? 0.5f : offset);
  const float rounded = (offset * 256.0f + 12582912.0f) - 12582912.0f;  // half to even, as rint
  return rounded * (1.0f / 256.0f);
}

SP_HD float floored_log(float sample) { return log32(sample > kLogFloor ? sample : kLogFloor); }

}  // namespace simplepose
