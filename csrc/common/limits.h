// The limits that C++ and Python share. The Python module exports them under the names in the comments.
#pragma once

#include <cstdint>

namespace simplepose {

constexpr int kMaxKeypoints = 256;           // MAX_KEYPOINTS: keypoint types of a skeleton
constexpr int kMaxPeaks = 4096;              // MAX_PEAKS: peaks of a type that are kept
constexpr int kMaxSamples = 64;              // MAX_SAMPLES: samples along a part
constexpr int kMaxFusedScales = 7;           // MAX_FUSED_SCALES: scales that one launch of render_targets writes
constexpr int64_t kMaxDecodeHits = 1 << 22;  // MAX_DECODE_HITS: pairs of a batch that leave a GPU in decode
constexpr int64_t kMaxMatchHits = 1 << 24;   // MAX_MATCH_HITS: the same in match_parts alone

}  // namespace simplepose
