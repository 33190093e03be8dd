// Rule 5 of assign_keypoints: poses without a common keypoint type join if they are near. They are fragments here.
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

// A pose on its way through rule 5.
struct Fragment {
  TypeSet types;
  float size = 0.0f;                                           // the diagonal of the box, or the least size
  float left = 0.0f, top = 0.0f, right = 0.0f, bottom = 0.0f;  // the box of its keypoints
  int32_t pose = 0;                                            // its row of the pose table
  int32_t first_peak = INT32_MAX;                              // the smallest peak index, which settles ties
  int32_t begin = 0, end = 0;                                  // its keypoints in JoinScratch::members
  int32_t version = 0;                                         // changes with every join; -1: joined to another
};

// A pair of fragments that may join.
struct JoinCandidate {
  float cost;
  int32_t a, b;  // the fragments, the one with the smaller first peak first
  int32_t first_a, first_b;
  int32_t version_a, version_b;  // when the cost was computed
};

// What rule 5 keeps from call to call.
struct JoinScratch {
  std::vector<Fragment> fragments;  // by first peak
  std::vector<Member> members;      // of the fragments; a join appends those of both
  std::vector<JoinCandidate> heap;  // the smallest cost first
};

// Fills scratch.fragments with the poses that are not empty, without single keypoints below settings.min_single_score.
void collect_fragments(PoseTable& poses, const DecodeSettings& settings, JoinScratch& scratch);

// Joins fragments, and their rows of the table, until none are near enough: the pair with the smallest cost first,
// where
//
//   cost = distance (1 + contradictions) <= settings.join_distance * the larger size.
//
// The distance is that of the nearest keypoints, at least 1 cell. A contradiction is a pair of keypoints, one of each
// fragment, that the skeleton has a part for but no candidate was found. Ties: the smaller first peaks.
void join_fragments(PoseTable& poses, const DecodeSettings& settings, JoinScratch& scratch);

}  // namespace simplepose
