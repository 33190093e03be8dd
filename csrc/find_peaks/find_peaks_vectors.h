// The scan of find_peaks in vectors: 64 cells at a time are compared with the threshold; those that reach it are
// compared with their neighbors, first with those above and below, which beat most of them.
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

// Lanes of the cells x to x + kLanes - 1 of row y that are not finite or that the neighbor above or below beats.
SP_VECTOR SP_INLINE unsigned beaten_vertically(const Scan& scan, int y, int x) {
  const float* at = scan.map + int64_t{y} * scan.width + x;
  const Floats value = load(at);
  unsigned lost = above(value, splat(FLT_MAX));
  if (y > 0) lost |= beaten(value, at - scan.width, true);
  if (y + 1 < scan.height) lost |= beaten(value, at + scan.width, false);
  return lost;
}

// Tests the lanes `left` of these cells in full.
SP_VECTOR SP_INLINE void test_lanes(Scan& scan, int y, int x, unsigned left) {
  const float* at = scan.map + int64_t{y} * scan.width + x;
  const Floats value = load(at);
  const bool inside = y > 0 && y + 1 < scan.height && x > 0 && x + kLanes < scan.width;
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
      // Without branches for each vector, which would be predicted wrong. Few rows of a blob are left.
      for (int i = 0; i < 64; i += kLanes) reached &= ~(uint64_t{beaten_vertically(scan, y, x + i)} << i);
      if (reached == 0) continue;
      for (int i = 0; i < 64; i += kLanes) {
        const unsigned lanes = static_cast<unsigned>(reached >> i) & ((1u << kLanes) - 1);
        if (lanes) test_lanes(scan, y, x + i, lanes);
      }
    }
    for (; x + kLanes <= scan.width; x += kLanes) {
      const unsigned lanes = at_least(load(row + x), threshold);
      if (lanes) test_lanes(scan, y, x, lanes & ~beaten_vertically(scan, y, x));
    }
    scan.run_row(y, x);
  }
}

}  // namespace
}  // namespace simplepose
