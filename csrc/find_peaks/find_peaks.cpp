// find_peaks on the CPU: one scan of each map for cells above the threshold; only those are looked at again.
#include "find_peaks/find_peaks.h"

#include <algorithm>

#include "common/simd.h"
#include "common/sort_keys.h"
#include "find_peaks/scan.h"

namespace simplepose {
namespace {

void scan_generic(Scan& scan) {
  for (int y = 0; y < scan.height; ++y) scan.run_row(y, 0);
}

void subpixel_generic(PeakScratch& scratch) { subpixel(scratch); }

struct Functions {
  void (*scan)(Scan&) = scan_generic;
  void (*subpixel)(PeakScratch&) = subpixel_generic;
};

Functions best_functions() {
#if SP_X86
  if (use_avx512()) return {scan_avx512, subpixel_avx512};
  if (use_avx2()) return {scan_avx2, subpixel_avx2};
#endif
  return {};
}

// Reads the cells of the peaks and their neighbors.
void read_samples(const float* maps, int height, int width, const Peaks& peaks, PeakScratch& scratch) {
  constexpr size_t kVector = 16;
  const size_t count = scratch.cells.size();
  scratch.stride = (count + kVector - 1) / kVector * kVector;
  scratch.samples.assign(5 * scratch.stride, 1.0f);
  scratch.dx.resize(scratch.stride), scratch.dy.resize(scratch.stride);
  for (size_t i = 0; i < count; ++i) {
    const float* at = maps + scratch.cells[i];
    const auto x = static_cast<int>(peaks.x[i]), y = static_cast<int>(peaks.y[i]);
    scratch.values(0)[i] = finite(*at);
    if (x > 0 && x + 1 < width) scratch.values(1)[i] = finite(at[-1]), scratch.values(2)[i] = finite(at[1]);
    if (y > 0 && y + 1 < height) scratch.values(3)[i] = finite(at[-width]), scratch.values(4)[i] = finite(at[width]);
  }
}

}  // namespace

void find_peaks(const float* maps, int keypoints, int height, int width, const DecodeSettings& settings, Peaks& peaks,
                PeakScratch& scratch) {
  peaks.clear(), scratch.cells.clear();
  scratch.keys.resize(int64_t{(height + 1) / 2} * ((width + 1) / 2));  // no two peaks are neighbors
  const Functions functions = best_functions();
  const size_t limit = settings.max_peaks;
  for (int type = 0; type < keypoints; ++type) {
    const int64_t plane = int64_t{type} * height * width;
    Scan scan;
    scan.map = maps + plane, scan.height = height, scan.width = width;
    scan.threshold = settings.peak_threshold;
    scan.keys = scratch.keys.data();
    functions.scan(scan);
    if (scan.count > limit) {
      peaks.truncated = true;
      std::nth_element(scan.keys, scan.keys + limit, scan.keys + scan.count);
      scan.count = limit;
    }
    sort_keys(scan.keys, scan.count);
    for (size_t i = 0; i < scan.count; ++i) {
      const auto cell = static_cast<uint32_t>(scan.keys[i]);
      scratch.cells.push_back(plane + cell);
      peaks.x.push_back(static_cast<float>(cell % static_cast<uint32_t>(width)));
      peaks.y.push_back(static_cast<float>(cell / static_cast<uint32_t>(width)));
      peaks.score.push_back(scan.map[cell]);
      peaks.type.push_back(type);
    }
    peaks.first.push_back(peaks.size());
  }
  read_samples(maps, height, width, peaks, scratch);
  functions.subpixel(scratch);
  for (size_t i = 0; i < scratch.cells.size(); ++i) {
    peaks.x[i] = peaks.x[i] + scratch.dx[i];
    peaks.y[i] = peaks.y[i] + scratch.dy[i];
  }
}

}  // namespace simplepose
