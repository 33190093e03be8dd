// find_peaks on the CPU: one scan of each map for cells above the threshold; only those are looked at again.
#include "find_peaks/find_peaks.h"

#include <algorithm>

#include "common/simd.h"
#include "find_peaks/scan.h"

namespace simplepose {
namespace {

void scan_map(Scan& scan, bool avx2) {
#if SP_X86
  if (avx2) return scan_avx2(scan);
#else
  (void)avx2;
#endif
  for (int y = 0; y < scan.height; ++y) scan.run_row(y, 0);
}

// How far a peak lies from its cell.
void subpixel(const float* map, int height, int width, int y, int x, bool avx2, float* dx, float* dy) {
  const float* at = map + int64_t{y} * width + x;
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
#if SP_X86
  avx2 ? floored_logs_avx2(samples, values) : floored_logs(samples, values);
#else
  (void)avx2;
  floored_logs(samples, values);
#endif

  *dx = inside_x ? parabola_vertex(values[1], values[0], values[2]) : 0.0f;
  *dy = inside_y ? parabola_vertex(values[3], values[0], values[4]) : 0.0f;
}

}  // namespace

void find_peaks(const float* maps, int keypoints, int height, int width, const DecodeSettings& settings, Peaks& peaks,
                std::vector<uint64_t>& keys) {
  peaks.clear();
  keys.resize(int64_t{(height + 1) / 2} * ((width + 1) / 2));
  const bool avx2 = use_avx2();
  const size_t limit = settings.max_peaks;
  for (int type = 0; type < keypoints; ++type) {
    const float* map = maps + int64_t{type} * height * width;
    Scan scan;
    scan.map = map, scan.height = height, scan.width = width;
    scan.threshold = settings.peak_threshold;
    scan.keys = keys.data();
    scan_map(scan, avx2);
    uint64_t *begin = keys.data(), *end = begin + scan.count;
    if (scan.count > limit) {
      peaks.truncated = true;
      std::nth_element(begin, begin + limit, end);
      end = begin + limit;
    }
    std::sort(begin, end);
    for (const uint64_t* key = begin; key != end; ++key) {
      const auto cell = static_cast<uint32_t>(*key);
      const int y = cell / width;
      const int x = cell % width;
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
