// The pieces of people and rule 5, which joins those that are near. What assign_keypoints.cpp and pieces.cpp share:
// the table of poses and the links between peaks.
#pragma once

#include <algorithm>

#include "assign_keypoints/assign_keypoints.h"

namespace simplepose {

// Views of one call's inputs and scratch; cheap to copy.
class PoseTable {
 protected:
  PoseTable(const Peaks& peaks, const Skeleton& skeleton, const DecodeSettings& settings, AssignScratch& scratch)
      : peaks_(peaks), skeleton_(skeleton), settings_(settings), s_(scratch) {}

  static size_t at(int32_t index) { return static_cast<size_t>(index); }
  int32_t* row(int32_t pose) { return s_.table.data() + at(pose) * at(skeleton_.keypoints); }
  int part_between(int32_t a, int32_t b) const {
    return skeleton_.part_between[at(a) * at(skeleton_.keypoints) + at(b)];
  }
  const Link* links_begin(int32_t peak) const { return s_.links.data() + s_.link_first[at(peak)]; }
  const Link* links_end(int32_t peak) const { return s_.links.data() + s_.link_first[at(peak) + 1]; }

  bool linked(int32_t a, int32_t b) const {
    if (links_end(a) - links_begin(a) > links_end(b) - links_begin(b)) std::swap(a, b);
    return std::any_of(links_begin(a), links_end(a), [b](const Link& link) { return link.other == b; });
  }

  const Peaks& peaks_;
  const Skeleton& skeleton_;
  const DecodeSettings& settings_;
  AssignScratch& s_;
};

// Fills AssignScratch::pieces from the table's first `poses` rows.
void collect_pieces(const PoseTable& table, int32_t poses);

// Rule 5: joins pieces, and their rows of the table, until none are near enough.
void join_near_pieces(const PoseTable& table);

}  // namespace simplepose
