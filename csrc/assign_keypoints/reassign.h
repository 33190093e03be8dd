// Rule 4 of assign_keypoints: each peak, in order, is moved to the pose that increases the total part score most.
#pragma once

#include <cstdint>
#include <vector>

#include "assign_keypoints/pose_table.h"

namespace simplepose {

// Memory of reassign, reused by later calls. The score of a peak for a pose is the sum of the part scores of the
// candidates between the peak and the keypoints of the pose.
struct ReassignScratch {
  std::vector<int32_t> stamp;        // [poses] the last peak that has a candidate to the pose
  std::vector<float> sum;            // [poses] the score of that peak for the pose
  std::vector<int32_t> touched;      // the poses other than its own to which the peak has candidates
  std::vector<int32_t> version;      // [poses] changes with every change of the pose
  std::vector<int32_t> own_version;  // [peaks] the version of the peak's pose for which own_score was summed
  std::vector<float> own_score;      // [peaks] the score for the pose that contains the peak
  std::vector<float> all_scores;     // [peaks] the sum of the magnitudes of the part scores of all candidates
  std::vector<float> rival_score;    // [peaks of one type] the score for the pose of the peak that is reassigned
};

// Rule 4: one pass over the peaks. If the new pose of a peak already has a peak of its type, the two are swapped. Ties:
// the pose with the smallest peak. The links of the table must be filled.
void reassign(PoseTable& poses, ReassignScratch& scratch);

}  // namespace simplepose
