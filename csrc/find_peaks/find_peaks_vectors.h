// The scan of find_peaks in vectors: 64 cells at a time are compared with the threshold; those that reach it are tested
// lane by lane against their neighbors.
#pragma once

#include <cfloat>

#include "find_peaks/scan.h"

namespace simplepose {
namespace {

// Lanes of `value` that a finite neighbor beats.
SP_VECTOR SP_INLINE unsigned beaten(Floats value, const float* neighbor, bool wins_ties) {
  const Floats other = load(neighbor);
  return (wins_ties ? at_least(other, value) : above(other, value)) & at_least(splat(FLT_MAX), other);
}

// Tests the cells x to x + kLanes - 1 of row y of which some reach the threshold. The neighbors above and below, which
// beat most of them, come first.
SP_VECTOR SP_INLINE void test_lanes(Scan& scan, int y, int x, unsigned reached) {
  const float* at = scan.map + int64_t{y} * scan.width + x;
  const Floats value = load(at);
  unsigned left = reached & at_least(splat(FLT_MAX), value);
  const bool first = y == 0, last = y + 1 == scan.height;
  if (!first) left &= ~beaten(value, at - scan.width, true);
  if (!last) left &= ~beaten(value, at + scan.width, false);
  if (left == 0) return;
  const bool inside = !first && !last && x > 0 && x + kLanes < scan.width;
  if (inside) {
    left &= ~(beaten(value, at - 1, true) | beaten(value, at + 1, false));
    left &= ~(beaten(value, at - scan.width - 1, true) | beaten(value, at - scan.width + 1, true));
    left &= ~(beaten(value, at + scan.width - 1, false) | beaten(value, at + scan.width + 1, false));
  }
  for (; left; left &= left - 1) {
    const int lane = __builtin_ctz(left);
    inside ? scan.add(y, x + lane) : scan.test(y, x + lane);
  }
}

SP_VECTOR SP_INLINE void scan_map(Scan& scan) {
  const Floats threshold = splat(scan.threshold);
  for (int y = 0; y < scan.height; ++y) {
    const float* row = scan.map + int64_t{y} * scan.width;
    int x = 0;
    for (; x + 64 <= scan.width; x += 64) {
      for (int i = 0; i < 64; i += 16)
        _mm_prefetch(reinterpret_cast<const char*>(row + x + i + kPrefetch), _MM_HINT_T0);
      uint64_t reached = 0;
      for (int i = 0; i < 64; i += kLanes) reached |= uint64_t{at_least(load(row + x + i), threshold)} << i;
      if (reached == 0) continue;
      for (int i = 0; i < 64; i += kLanes) {
        const unsigned lanes = static_cast<unsigned>(reached >> i) & ((1u << kLanes) - 1);
        if (lanes) test_lanes(scan, y, x + i, lanes);
      }
    }
    for (; x + kLanes <= scan.width; x += kLanes) {
      const unsigned lanes = at_least(load(row + x), threshold);
      if (lanes) test_lanes(scan, y, x, lanes);
    }
    scan.run_row(y, x);
  }
}

}  // namespace
}  // namespace simplepose
