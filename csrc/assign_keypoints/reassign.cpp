// Rule 4 on the CPU: one pass over the peaks, with a bound that skips most exchanges.
//
// S(x, P) is the score of peak x for pose P. Let peak p be in pose `home`, and let another pose `other` have a peak q
// of the same type, its rival. If p and q change places, the total part score grows by
//
//   gain = (S(p, other) + S(q, home)) - (S(p, home) + S(q, other)).
//
// Lemma. Let A(q) be the sum of the magnitudes of the part scores of all candidates of q. Then
//
//   gain <= S(p, other) - S(p, home) + (A(q) - |S(q, other)|) - S(q, other).
//
// Proof. A keypoint belongs to one pose, so S(q, home) and S(q, other) are sums over different candidates of q. By the
// triangle inequality |S(q, home)| + |S(q, other)| <= A(q), so S(q, home) <= A(q) - |S(q, other)|.
//
// The bound needs S(q, other) and A(q), which change rarely or never, but not S(q, home), which is another sum for
// every pair of p and q. An exchange is skipped if its bound is below the best gain so far by more than rounding can
// explain. A float32 sum of n terms is off by at most 6e-8 n times the sum of their magnitudes, so the slack of 1e-4
// covers 1600 candidates of a peak in the worst case. Noise can have more of them, but there the errors mostly cancel.
#include "assign_keypoints/reassign.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace simplepose {
namespace {

constexpr float kLeastGain = 1e-6f;  // a keypoint moves only for a gain above this
constexpr float kSlack = 1e-4f;      // of the bound, relative to the magnitudes in it
constexpr int kFewRivals = 5;        // so many are summed one by one; for more, all of the type are summed at once

class Reassignment {
 public:
  Reassignment(PoseTable& poses, ReassignScratch& scratch) : poses_(poses), s_(scratch) {}

  void run() {
    const int32_t peaks = poses_.peaks.size();
    s_.stamp.assign(poses_.count, -1);
    s_.sum.resize(poses_.count);
    s_.version.resize(poses_.count);
    std::iota(s_.version.begin(), s_.version.end(), 0);
    next_version_ = poses_.count;
    s_.own_version.assign(peaks, -1);
    s_.own_score.resize(peaks);
    s_.all_scores.resize(peaks);
    for (int32_t peak = 0; peak < peaks; ++peak) {
      float total = 0.0f;
      for (const Link* link = poses_.links_begin(peak); link != poses_.links_end(peak); ++link)
        total += std::fabs(link->score);
      s_.all_scores[peak] = total;
    }
    for (int32_t peak = 0; peak < peaks; ++peak) {
      const int32_t home = poses_.pose_of(peak);
      sum_scores(peak, home);
      if (!s_.touched.empty()) move_to_best(peak, home);
    }
  }

 private:
  // The scores of a peak for its home and for all poses that it has candidates to.
  void sum_scores(int32_t peak, int32_t home) {
    s_.touched.clear();
    s_.stamp[home] = peak, s_.sum[home] = 0.0f;
    for (const Link* link = poses_.links_begin(peak); link != poses_.links_end(peak); ++link) {
      const int32_t pose = poses_.pose_of(link->other);
      if (s_.stamp[pose] != peak) {
        s_.stamp[pose] = peak, s_.sum[pose] = 0.0f;
        s_.touched.push_back(pose);
      }
      s_.sum[pose] = s_.sum[pose] + link->score;
    }
  }

  void move_to_best(int32_t peak, int32_t home) {
    const int32_t type = poses_.peaks.type[peak];
    int rivals = 0;
    int32_t best = -1;
    float best_gain = kLeastGain;
    for (const int32_t pose : s_.touched) {
      const int32_t rival = poses_.row(pose)[type];
      const float here = s_.sum[home], there = s_.sum[pose];
      float gain;
      if (rival < 0) {
        gain = there - here;
      } else {
        const float lost = own_score(rival), all = s_.all_scores[rival];
        const float slack = kSlack * (std::fabs(there) + std::fabs(here) + all);
        if (there - here + (all - std::fabs(lost)) - lost < best_gain - slack) continue;  // the lemma
        if (++rivals == kFewRivals) sum_rivals(type, home);
        const float brought =
            rivals < kFewRivals ? score(rival, home) : s_.rival_score[rival - poses_.peaks.first[type]];
        gain = (there + brought) - (here + lost);
      }
      if (gain > best_gain || (gain == best_gain && best >= 0 && first_peak(pose) < first_peak(best))) {
        best = pose, best_gain = gain;
      }
    }
    if (best >= 0) move(peak, home, best);
  }

  // Moves a peak from `home` to `pose`, and the rival that it finds there, if any, to `home`.
  void move(int32_t peak, int32_t home, int32_t pose) {
    const int32_t type = poses_.peaks.type[peak];
    const int32_t rival = poses_.row(pose)[type];
    poses_.row(home)[type] = rival;
    if (rival >= 0) poses_.pose_of(rival) = home;
    poses_.row(pose)[type] = peak;
    poses_.pose_of(peak) = pose;
    s_.version[home] = next_version_++;
    s_.version[pose] = next_version_++;
  }

  float score(int32_t peak, int32_t pose) const {
    float total = 0.0f;
    for (const Link* link = poses_.links_begin(peak); link != poses_.links_end(peak); ++link) {
      if (poses_.pose_of(link->other) == pose) total = total + link->score;
    }
    return total;
  }

  // The score of a peak for its own pose, summed anew only after the pose has changed.
  float own_score(int32_t peak) {
    const int32_t pose = poses_.pose_of(peak), version = s_.version[pose];
    if (s_.own_version[peak] != version) {
      s_.own_version[peak] = version;
      s_.own_score[peak] = score(peak, pose);
    }
    return s_.own_score[peak];
  }

  // The scores for `home` of all peaks of a type at once, through the links of the keypoints of `home`. Each part adds
  // at most one link to the sum of a peak, and parts come in their order, so the sums round as those of score() do.
  void sum_rivals(int32_t type, int32_t home) {
    const Skeleton& skeleton = poses_.skeleton;
    const int32_t begin = poses_.peaks.first[type], end = poses_.peaks.first[type + 1];
    s_.rival_score.assign(end - begin, 0.0f);
    for (int part = 0; part < skeleton.parts(); ++part) {
      const int32_t from = skeleton.from[part], to = skeleton.to[part];
      if (from != type && to != type) continue;
      const int32_t member = poses_.row(home)[from == type ? to : from];
      if (member < 0) continue;
      const int32_t kind = poses_.peaks.type[member];
      const Link* const links_end = poses_.links_end(member);
      const Link* link = std::partition_point(poses_.links_begin(member), links_end, [&](const Link& other) {
        return poses_.part_between(kind, poses_.peaks.type[other.other]) < part;  // links come by part
      });
      for (; link != links_end && link->other >= begin && link->other < end; ++link) {
        float& sum = s_.rival_score[link->other - begin];
        sum = sum + link->score;
      }
    }
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
  int32_t next_version_ = 0;  // each is given out once
};

}  // namespace

void reassign(PoseTable& poses, ReassignScratch& scratch) { Reassignment(poses, scratch).run(); }

}  // namespace simplepose
