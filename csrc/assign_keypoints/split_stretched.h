// Rule 8 of assign_keypoints: poses that are stretched over several people are split at their long parts.
#pragma once

#include <cstdint>
#include <vector>

#include "assign_keypoints/pose_table.h"

namespace simplepose {

// A part of a pose: both its keypoints are present, whether or not they are the ends of a candidate part.
struct PosePart {
  int32_t from, to;  // keypoint types
};

// Memory of split_stretched, reused by later calls.
struct SplitScratch {
  std::vector<PosePart> parts;  // of one pose
  std::vector<float> lengths;   // [parts] in cells
  std::vector<float> sorted;    // [parts] the lengths up to the median
  std::vector<int32_t> group;   // [J] the smallest type that is connected to a type
  std::vector<int32_t> target;  // [J] the pose of the group of a type, at the smallest type
};

// A pose is stretched if its longest part exceeds settings.max_part_ratio times its median part and
// settings.min_cut_length. Of an even number of parts, the median is the lower one in the middle. The longer parts are
// cut, and the keypoints that the other parts connect become a pose each; the first of them keeps its row.
void split_stretched(PoseTable& poses, const DecodeSettings& settings, SplitScratch& scratch);

}  // namespace simplepose
