// The memory in which find_peaks stores peaks on a GPU, and from which match_parts reads them.
#pragma once

#include <cstdint>

#include "cuda/memory.h"

namespace simplepose {

// Slots [max_peaks, images, keypoints, 3] of x, y and score: slot 0 of all maps, then slot 1, so that the slots in use
// are contiguous. Slots beyond a map's count are not written.
struct PeakSlots {
  Span<float> slots;
  Span<int32_t> counts;  // [images, keypoints]; max_peaks + 1 if peaks were dropped
};

}  // namespace simplepose
