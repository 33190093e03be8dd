// assign_keypoints: groups peaks into people (rules 3 to 7). Reference: simplepose/reference/assign_keypoints.py,
// which has a function of the same name for each rule.
#pragma once

#include <vector>

#include "common/types.h"

namespace simplepose {

// The keypoint types of a pose, one bit each; MAX_KEYPOINTS in Python is its size.
struct TypeSet {
  static constexpr int kWords = 4;
  uint64_t words[kWords] = {};

  void add(int type) { words[type >> 6] |= uint64_t{1} << (type & 63); }
  void remove(int type) { words[type >> 6] &= ~(uint64_t{1} << (type & 63)); }
  bool meets(const TypeSet& other) const {
    return ((words[0] & other.words[0]) | (words[1] & other.words[1]) | (words[2] & other.words[2]) |
            (words[3] & other.words[3])) != 0;
  }
  void merge(const TypeSet& other) {
    for (int i = 0; i < kWords; ++i) words[i] |= other.words[i];
  }
};

// A candidate part as one of its two peaks sees it.
struct Link {
  int32_t other;
  float evidence;
};

// A keypoint of a piece.
struct Member {
  float x, y;
  int32_t type, peak;
};

// A group of pieces on its way through rule 5.
struct Piece {
  TypeSet types;
  float size;
  float left, top, right, bottom;  // the box of its keypoints
  int32_t pose;                    // its row of the pose table
  int32_t first_peak;              // the smallest peak index, which settles ties
  int32_t begin, end;              // its keypoints in AssignScratch::members
  int32_t version;                 // changes with every join, so that old entries of the heap are known
};

struct JoinCandidate {
  float cost;
  int32_t a, b;  // pieces, the one with the smaller first peak first
  int32_t first_a, first_b;
  int32_t version_a, version_b;
};

// What assign_keypoints keeps from call to call, so that a steady state allocates nothing.
struct AssignScratch {
  std::vector<int32_t> parent;      // rule 3: union-find over peaks
  std::vector<TypeSet> types;       // of each root
  std::vector<int32_t> link_first;  // [peaks + 1] where the links of each peak begin
  std::vector<Link> links;
  std::vector<int32_t> pose_of;  // [peaks]
  std::vector<int32_t> table;    // [poses * J] peak of each type, or -1
  std::vector<int32_t> stamp;    // [poses] the last peak that touched the pose
  std::vector<float> sums;       // [poses]
  std::vector<int32_t> touched;
  std::vector<int32_t> version;       // [poses] changes with every change of the pose
  std::vector<int32_t> own_version;   // [peaks] the pose's version that own_evidence was summed for
  std::vector<float> own_evidence;    // [peaks] evidence for the pose that has the peak
  std::vector<float> all_evidence;    // [peaks] sum of the absolute evidence of all links
  std::vector<float> rival_evidence;  // [peaks of one type] evidence for the home of the peak that is rechecked
  std::vector<Piece> pieces;
  std::vector<Member> members;  // of the pieces; a join appends those of both
  std::vector<JoinCandidate> heap;
  std::vector<int32_t> order, shared;
  std::vector<float> totals;
};

void assign_keypoints(const Peaks& peaks, const CandidateParts& candidates, const Skeleton& skeleton,
                      const DecodeSettings& settings, People& people, AssignScratch& scratch);

}  // namespace simplepose
