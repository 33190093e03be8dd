// The limits that C++ and Python share. Each comment begins with the name under which the Python module exports it.
#pragma once

#include <cstdint>

namespace simplepose {

constexpr int kMaxKeypoints = 256;     // MAX_KEYPOINTS: keypoint types of a skeleton
constexpr int kMaxPeaks = 4096;        // MAX_PEAKS: peaks of a keypoint type; their pairs are counted in 32 bits
constexpr int kMaxSamples = 64;        // MAX_SAMPLES: samples along a part
constexpr int kMaxFusedScales = 7;     // MAX_FUSED_SCALES: scales that one launch of render_targets writes
constexpr int64_t kMaxHits = 1 << 22;  // MAX_HITS: accepted pairs of a batch that are copied from a GPU; more are noise

}  // namespace simplepose
