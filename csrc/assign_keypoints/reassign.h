// Rule 4 of assign_keypoints: each peak, in order, is moved to the pose that increases the total part score most.
#pragma once

#include <cstdint>
#include <vector>

#include "assign_keypoints/pose_table.h"

namespace simplepose {

// Memory of reassign, reused by later calls. The score of a peak for a pose is the sum of the part scores of the
// candidates between the peak and the keypoints of the pose.
struct ReassignScratch {
  std::vector<int32_t> column;   // [poses] the column of the pose in home_scores; the last one for all other poses
  std::vector<float> scores;     // [peaks of a type, columns] the scores of the peaks for the poses
  std::vector<float> own_score;  // [peaks of a type] the score for the pose that contains the peak
  std::vector<int32_t> stamp;    // [poses] the last peak that has a candidate to the pose
  std::vector<float> sum;        // [poses] the score of that peak for the pose
  std::vector<int32_t> touched;  // the poses to which the peak has candidates, first come first
};

// Rule 4: one pass over the peaks. If the new pose of a peak already has a peak of its type, the two are swapped. Ties:
// the pose with the smallest peak. The links of the table must be filled.
void reassign(PoseTable& poses, ReassignScratch& scratch);

}  // namespace simplepose
