// Where find_peaks leaves peaks on a GPU, and match_parts reads them.
#pragma once

#include <cstdint>

#include "cuda/memory.h"

namespace simplepose {

// Slots [max_peaks, images, keypoints, 3] of x, y and score: slot 0 of all maps, then slot 1, so that the slots in use
// are contiguous. Slots beyond a map's count keep what they held.
struct PeakSlots {
  Span<float> slots;
  Span<int32_t> counts;  // [images, keypoints]; max_peaks + 1 where peaks were cut
};

}  // namespace simplepose
