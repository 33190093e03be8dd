// The poses of one image while assign_keypoints works on them, and the candidate parts of each peak.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "common/types.h"

namespace simplepose {

// A candidate part, stored with one of its two peaks.
struct Link {
  int32_t other;  // the peak at the other end
  float score;    // the part score
};

// Memory of a PoseTable, reused by later calls.
struct PoseStorage {
  std::vector<int32_t> pose_of;     // [peaks] the pose of each peak
  std::vector<int32_t> rows;        // [poses, J] the peak of each type, or -1
  std::vector<int32_t> link_first;  // [peaks + 1] index of the first link of each peak
  std::vector<Link> links;          // by peak, then in the order of the candidates
};

// The table that all rules read and change. A peak belongs to one pose, and a pose has at most one peak of a type. The
// index of a pose never changes; a pose may become empty.
class PoseTable {
 public:
  PoseTable(const Peaks& all_peaks, const Skeleton& the_skeleton, PoseStorage& memory)
      : peaks(all_peaks), skeleton(the_skeleton), storage_(memory) {}

  const Peaks& peaks;
  const Skeleton& skeleton;
  int32_t count = 0;  // of poses

  // Creates `poses` empty poses, and an entry for the pose of every peak.
  void reset(int32_t poses) {
    count = poses;
    storage_.pose_of.resize(peaks.x.size());
    storage_.rows.assign(int64_t{poses} * skeleton.keypoints, -1);
  }

  // Adds an empty pose. Pointers to rows become invalid.
  int32_t add() {
    storage_.rows.resize(storage_.rows.size() + skeleton.keypoints, -1);
    return count++;
  }

  // Fills the links. The links of a peak have the order of the candidates, so that sums over them are rounded
  // identically in every backend.
  void link(const CandidateParts& candidates);

  int32_t* row(int32_t pose) { return storage_.rows.data() + int64_t{pose} * skeleton.keypoints; }
  int32_t& pose_of(int32_t peak) { return storage_.pose_of[peak]; }
  int32_t pose_of(int32_t peak) const { return storage_.pose_of[peak]; }
  int part_between(int32_t a, int32_t b) const { return skeleton.part_between[a * skeleton.keypoints + b]; }

  const Link* links_begin(int32_t peak) const { return storage_.links.data() + storage_.link_first[peak]; }
  const Link* links_end(int32_t peak) const { return storage_.links.data() + storage_.link_first[peak + 1]; }

  // Whether two peaks are the ends of a candidate part.
  bool linked(int32_t a, int32_t b) const {
    if (links_end(a) - links_begin(a) > links_end(b) - links_begin(b)) std::swap(a, b);
    return std::any_of(links_begin(a), links_end(a), [b](const Link& link) { return link.other == b; });
  }

 private:
  PoseStorage& storage_;
};

}  // namespace simplepose
