// Rule 5 of assign_keypoints: poses without a common keypoint type are joined if they are close to each other. In this
// file such poses are called fragments.
#pragma once

#include <cstdint>
#include <vector>

#include "assign_keypoints/pose_table.h"
#include "assign_keypoints/type_set.h"

namespace simplepose {

// A keypoint of a fragment.
struct Member {
  float x, y;
  int32_t type, peak;
};

// A pose during rule 5.
struct Fragment {
  TypeSet types;
  float size = 0.0f;                                           // the diagonal of the box, or the minimum size
  float left = 0.0f, top = 0.0f, right = 0.0f, bottom = 0.0f;  // the box of its keypoints
  int32_t pose = 0;                                            // its row of the pose table
  int32_t first_peak = INT32_MAX;                              // the smallest peak index, which breaks ties
  int32_t begin = 0, end = 0;                                  // its keypoints in JoinScratch::members
  int32_t version = 0;                                         // changes with every join; -1: was joined to another
};

// A pair of fragments that may be joined.
struct JoinCandidate {
  float cost;
  int32_t a, b;  // the fragments, the one with the smaller first peak first
  int32_t first_a, first_b;
  int32_t version_a, version_b;  // the versions for which the cost was computed
};

// Memory of rule 5, reused by later calls.
struct JoinScratch {
  std::vector<Fragment> fragments;  // ordered by first peak
  std::vector<Member> members;      // of the fragments; a join appends the members of both
  std::vector<JoinCandidate> heap;  // a heap with the smallest cost at the top
};

// Fills scratch.fragments with the poses that are not empty, except single keypoints with a score below
// settings.min_single_score.
void collect_fragments(PoseTable& poses, const DecodeSettings& settings, JoinScratch& scratch);

// Joins fragments, and their rows of the table, as long as a pair fulfills
//
//   cost = distance (1 + contradictions) <= settings.join_distance * the larger size.
//
// The pair with the smallest cost is joined first; ties are ordered by the first peaks. The distance is that of the
// nearest keypoints, at least 1 cell. A contradiction is a pair of keypoints, one of each fragment, that a part of the
// skeleton connects but no candidate part does.
void join_fragments(PoseTable& poses, const DecodeSettings& settings, JoinScratch& scratch);

}  // namespace simplepose
