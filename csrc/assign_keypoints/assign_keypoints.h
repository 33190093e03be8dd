// assign_keypoints: groups peaks into people (rules 3 to 8). The reference implementation has a function
// of the same name for each rule.
#pragma once

#include <cstdint>
#include <vector>

#include "assign_keypoints/join_fragments.h"
#include "assign_keypoints/pose_table.h"
#include "assign_keypoints/reassign.h"
#include "assign_keypoints/split_stretched.h"
#include "assign_keypoints/type_set.h"
#include "common/types.h"

namespace simplepose {

// Memory of merge, reused by later calls: a union-find over the peaks.
struct MergeScratch {
  std::vector<int32_t> parent;  // [peaks] the root of a set is its smallest peak
  std::vector<TypeSet> types;   // [peaks] the keypoint types of a set, at its root
};

// A pose that also takes a peak of another pose.
struct SharedPeak {
  int32_t pose, peak;
};

// Memory of share_keypoints, reused by later calls.
struct ShareScratch {
  std::vector<uint8_t> taken;  // [peaks] whether a pose contains the peak
  std::vector<SharedPeak> shared;
};

// Memory of emit, reused by later calls.
struct EmitScratch {
  std::vector<float> totals;   // [fragments] the sum of the peak scores
  std::vector<int32_t> order;  // the fragments with enough keypoints, by descending score
};

// Memory of assign_keypoints, reused by later calls, so that a steady state allocates nothing.
struct AssignScratch {
  MergeScratch merge;        // rule 3
  PoseStorage poses;         // all rules
  ReassignScratch reassign;  // rule 4
  SplitScratch split;        // rule 8
  JoinScratch join;          // rule 5
  EmitScratch emit;          // rule 6
  ShareScratch share;        // rule 7
};

// Peaks and candidates must have the order of find_peaks and match_parts. Of the candidates, `from`, `to` and `score`
// are read. People are ordered by descending score, then by smallest peak index.
void assign_keypoints(const Peaks& peaks, const CandidateParts& candidates, const Skeleton& skeleton,
                      const DecodeSettings& settings, People& people, AssignScratch& scratch);

}  // namespace simplepose
