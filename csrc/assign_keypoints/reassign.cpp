// Rule 4 on the CPU: one pass over the peaks, type by type.
//
// S(x, P) is the score of peak x for pose P. Let peak p be in pose `home`, and let another pose `other` have a peak q
// of the same type, its rival. If p and q change places, the total part score grows by
//
//   gain = (S(p, other) + S(q, home)) - (S(p, home) + S(q, other)).
//
// Lemma. While the peaks of a type take their turns, S(x, P) does not change for any peak x of the type and any pose P.
// Proof. A turn changes the poses of peaks of that type only, and a part connects different types, so the candidates of
// x lead to peaks whose poses stay.
//
// So the scores of all peaks of a type are summed once, before the turns. A table of them for all poses would be large.
// It has columns for the poses with a peak of the type only: these are the homes of all peaks that still wait for their
// turn, since a rival that moves takes a home of the type. Other poses have no rival, and scores for them are needed
// only in the turn of the peak itself, which sums them. Every sum has the order of the candidates.
#include "assign_keypoints/reassign.h"

#include <algorithm>

namespace simplepose {
namespace {

constexpr float kLeastGain = 1e-6f;  // a keypoint moves only for a gain above this

class Reassignment {
 public:
  Reassignment(PoseTable& poses, ReassignScratch& scratch) : poses_(poses), s_(scratch) {}

  void run() {
    s_.stamp.assign(poses_.count, -1);
    s_.sum.resize(poses_.count);
    s_.touched.resize(poses_.count + 1);
    s_.column.resize(poses_.count);
    for (int type = 0; type < poses_.skeleton.keypoints; ++type) {
      begin_ = poses_.peaks.first[type], end_ = poses_.peaks.first[type + 1];
      if (begin_ == end_) continue;
      sum_type();
      for (int32_t peak = begin_; peak < end_; ++peak) {
        const int32_t home = poses_.pose_of(peak);
        if (sum_peak(peak, home)) move_to_best(peak, type, home);
      }
    }
  }

 private:
  // The scores of all peaks of the type for the poses that contain one.
  void sum_type() {
    const int32_t count = end_ - begin_;
    columns_ = count + 1;
    std::fill(s_.column.begin(), s_.column.end(), count);
    for (int32_t i = 0; i < count; ++i) s_.column[poses_.pose_of(begin_ + i)] = i;
    s_.scores.assign(static_cast<size_t>(count) * columns_, 0.0f);
    s_.own_score.resize(count);
    for (int32_t i = 0; i < count; ++i) {
      float* row = s_.scores.data() + static_cast<size_t>(i) * columns_;
      const Link* const links_end = poses_.links_end(begin_ + i);
      for (const Link* link = poses_.links_begin(begin_ + i); link != links_end; ++link) {
        float& sum = row[s_.column[poses_.pose_of(link->other)]];
        sum = sum + link->score;
      }
      s_.own_score[i] = row[i];
    }
  }

  // The scores of one peak for all poses that it has candidates to. False if these do not include another pose.
  bool sum_peak(int32_t peak, int32_t home) {
    touched_count_ = 0;
    s_.stamp[home] = peak, s_.sum[home] = 0.0f;
    const Link* const links_end = poses_.links_end(peak);
    for (const Link* link = poses_.links_begin(peak); link != links_end; ++link) {
      const int32_t pose = poses_.pose_of(link->other);
      const bool first = s_.stamp[pose] != peak;
      s_.touched[touched_count_] = pose;  // without a branch, which would be predicted wrong
      touched_count_ += first;
      s_.sum[pose] = (first ? 0.0f : s_.sum[pose]) + link->score;
      s_.stamp[pose] = peak;
    }
    return touched_count_ != 0;
  }

  void move_to_best(int32_t peak, int type, int32_t home) {
    const float here = s_.own_score[peak - begin_];
    const size_t home_column = s_.column[home];
    int32_t best = -1;
    float best_gain = kLeastGain;
    for (int32_t i = 0; i < touched_count_; ++i) {
      const int32_t pose = s_.touched[i], rival = poses_.row(pose)[type];
      const float there = s_.sum[pose];
      float gain = there - here;
      if (rival >= 0) {
        const size_t row = rival - begin_;
        gain = (there + s_.scores[row * columns_ + home_column]) - (here + s_.own_score[row]);
      }
      if (gain > best_gain || (gain == best_gain && best >= 0 && first_peak(pose) < first_peak(best))) {
        best = pose, best_gain = gain;
      }
    }
    if (best >= 0) move(peak, type, home, best);
  }

  // Moves a peak from `home` to `pose`, and the rival that it finds there, if any, to `home`.
  void move(int32_t peak, int type, int32_t home, int32_t pose) {
    const int32_t rival = poses_.row(pose)[type];
    poses_.row(home)[type] = rival;
    if (rival >= 0) {
      poses_.pose_of(rival) = home;
      const size_t row = rival - begin_;
      s_.own_score[row] = s_.scores[row * columns_ + s_.column[home]];
    }
    poses_.row(pose)[type] = peak;
    poses_.pose_of(peak) = pose;
    s_.own_score[peak - begin_] = s_.sum[pose];
  }

  int32_t first_peak(int32_t pose) {
    const int32_t* peaks = poses_.row(pose);
    int32_t first = INT32_MAX;
    for (int type = 0; type < poses_.skeleton.keypoints; ++type) {
      if (peaks[type] >= 0) first = std::min(first, peaks[type]);
    }
    return first;
  }

  PoseTable& poses_;
  ReassignScratch& s_;
  int32_t begin_ = 0, end_ = 0;  // the peaks of the type
  size_t columns_ = 0;           // of s_.scores
  int32_t touched_count_ = 0;    // of s_.touched
};

}  // namespace

void reassign(PoseTable& poses, ReassignScratch& scratch) { Reassignment(poses, scratch).run(); }

}  // namespace simplepose
