// Rule 4 of assign_keypoints: in order of the peaks, each moves to the pose that raises the total part score most.
#pragma once

#include <cstdint>
#include <vector>

#include "assign_keypoints/pose_table.h"

namespace simplepose {

// What reassign keeps from call to call. The score of a peak for a pose is the sum of the part scores of the candidates
// between the peak and the keypoints of the pose.
struct ReassignScratch {
  std::vector<int32_t> stamp;        // [poses] the last peak that has a candidate to the pose
  std::vector<float> sum;            // [poses] the score of that peak for the pose
  std::vector<int32_t> touched;      // the poses that the peak has candidates to, but for its own
  std::vector<int32_t> version;      // [poses] changes with every change of the pose
  std::vector<int32_t> own_version;  // [peaks] the version of the peak's pose that own_score was summed for
  std::vector<float> own_score;      // [peaks] the score for the pose that has the peak
  std::vector<float> all_scores;     // [peaks] the sum of the magnitudes of the part scores of all candidates
  std::vector<float> rival_score;    // [peaks of one type] the score for the home of the peak that is reassigned
};

// Rule 4, once over the peaks. A peak that moves to a pose which has its type already changes places with that peak.
// Ties go to the pose with the smallest peak. The poses must be linked.
void reassign(PoseTable& poses, ReassignScratch& scratch);

}  // namespace simplepose
