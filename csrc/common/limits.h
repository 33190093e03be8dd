// The limits that C++ and Python share. The Python module exports them under the names that the comments begin with.
#pragma once

#include <cstdint>

namespace simplepose {

constexpr int kMaxKeypoints = 256;     // MAX_KEYPOINTS: keypoint types of a skeleton
constexpr int kMaxPeaks = 4096;        // MAX_PEAKS: peaks of a keypoint type; their pairs are counted in 32 bits
constexpr int kMaxSamples = 64;        // MAX_SAMPLES: samples along a part
constexpr int kMaxFusedScales = 7;     // MAX_FUSED_SCALES: scales that one launch of render_targets writes
constexpr int64_t kMaxHits = 1 << 22;  // MAX_HITS: accepted pairs of a batch that leave a GPU; more are noise

}  // namespace simplepose
