// assign_keypoints on the CPU: rules 3, 6 and 7, and the order of all rules.
#include "assign_keypoints/assign_keypoints.h"

#include <algorithm>

namespace simplepose {
namespace {

// Rule 3: by part type and part score, the poses of a candidate's two peaks become one unless they share a type.
class Merging {
 public:
  Merging(PoseTable& poses, MergeScratch& scratch) : poses_(poses), s_(scratch) {}

  void run(const CandidateParts& candidates) {
    const int32_t count = poses_.peaks.size();
    s_.parent.resize(count);
    s_.types.assign(count, TypeSet{});
    for (int32_t peak = 0; peak < count; ++peak) {
      s_.parent[peak] = peak;
      s_.types[peak].add(poses_.peaks.type[peak]);
    }
    for (int32_t i = 0; i < candidates.size(); ++i) {
      const int32_t a = root(candidates.from[i]), b = root(candidates.to[i]);
      const int32_t kept = std::min(a, b), gone = std::max(a, b);
      if (kept == gone || s_.types[kept].meets(s_.types[gone])) continue;
      s_.parent[gone] = kept;
      s_.types[kept].merge(s_.types[gone]);
    }
    fill_table();
  }

 private:
  int32_t root(int32_t peak) {
    int32_t* parent = s_.parent.data();
    while (parent[peak] != peak) peak = parent[peak] = parent[parent[peak]];
    return peak;
  }

  // Poses are numbered by their smallest peak, which stands before the others.
  void fill_table() {
    const int32_t count = poses_.peaks.size();
    int32_t found = 0;
    for (int32_t peak = 0; peak < count; ++peak) found += s_.parent[peak] == peak;
    poses_.reset(found);
    int32_t next = 0;
    for (int32_t peak = 0; peak < count; ++peak) {
      const int32_t first = root(peak);
      const int32_t pose = first == peak ? next++ : poses_.pose_of(first);
      poses_.pose_of(peak) = pose;
      poses_.row(pose)[poses_.peaks.type[peak]] = peak;
    }
  }

  PoseTable& poses_;
  MergeScratch& s_;
};

// Rule 7: a pose of two or more takes, for a type it lacks, the peak of another pose with the highest total part score.
class Sharing {
 public:
  Sharing(PoseTable& poses, ShareScratch& scratch) : poses_(poses), s_(scratch) {}

  // The shared peaks go into the rows of the poses after all fragments have been examined.
  void run(const std::vector<Fragment>& fragments) {
    const int types = poses_.skeleton.keypoints;
    s_.shared.clear();
    s_.taken.assign(poses_.peaks.x.size(), 0);
    for (const Fragment& fragment : fragments) {
      const int32_t* members = poses_.row(fragment.pose);
      for (int type = 0; type < types; ++type) {
        if (members[type] >= 0) s_.taken[members[type]] = 1;
      }
    }
    for (const Fragment& fragment : fragments) {
      const int32_t* members = poses_.row(fragment.pose);
      if (types - std::count(members, members + types, -1) < 2) continue;
      for (int type = 0; type < types; ++type) {
        if (members[type] >= 0) continue;
        const int32_t peak = best_peak(members, type);
        if (peak >= 0) s_.shared.push_back({fragment.pose, peak});
      }
    }
    for (const SharedPeak& shared : s_.shared) {
      poses_.row(shared.pose)[poses_.peaks.type[shared.peak]] = shared.peak;
    }
  }

 private:
  // A peak needs a candidate to the pose and at most one contradiction; -1 if there is none.
  int32_t best_peak(const int32_t* members, int type) const {
    const Peaks& peaks = poses_.peaks;
    int32_t best = -1;
    float best_total = 0.0f;
    for (int32_t peak = peaks.first[type]; peak < peaks.first[type + 1]; ++peak) {
      if (!s_.taken[peak]) continue;
      bool found = false;
      float total = 0.0f;
      for (const Link* link = poses_.links_begin(peak); link != poses_.links_end(peak); ++link) {
        if (members[peaks.type[link->other]] != link->other) continue;
        total = total + link->score;
        found = true;
      }
      if (!found || (best >= 0 && !(total > best_total))) continue;
      if (contradictions(members, type, peak) <= 1) best = peak, best_total = total;
    }
    return best;
  }

  // Keypoints of the pose that the skeleton has a part to, but no candidate was found.
  int contradictions(const int32_t* members, int type, int32_t peak) const {
    int count = 0;
    for (int other = 0; other < poses_.skeleton.keypoints; ++other) {
      count += poses_.part_between(type, other) >= 0 && members[other] >= 0 && !poses_.linked(peak, members[other]);
    }
    return count;
  }

  PoseTable& poses_;
  ShareScratch& s_;
};

// Rule 6: poses with enough keypoints, by the sum of their peak scores.
void emit(PoseTable& poses, int min_keypoints, std::vector<Fragment>& fragments, People& people, EmitScratch& s) {
  const int types = poses.skeleton.keypoints;
  s.order.clear(), s.totals.clear();
  for (Fragment& fragment : fragments) {
    const int32_t* members = poses.row(fragment.pose);
    int count = 0;
    float total = 0.0f;
    for (int type = 0; type < types; ++type) {
      if (members[type] < 0) continue;
      ++count;
      total = total + poses.peaks.score[members[type]];
      fragment.first_peak = std::min(fragment.first_peak, members[type]);
    }
    if (count >= min_keypoints) s.order.push_back(static_cast<int32_t>(s.totals.size()));
    s.totals.push_back(total);
  }
  std::sort(s.order.begin(), s.order.end(), [&](int32_t a, int32_t b) {
    if (s.totals[a] != s.totals[b]) return s.totals[a] > s.totals[b];
    if (fragments[a].first_peak != fragments[b].first_peak) return fragments[a].first_peak < fragments[b].first_peak;
    return a < b;
  });
  people.peak.clear(), people.score.clear();
  for (const int32_t i : s.order) {
    const int32_t* members = poses.row(fragments[i].pose);
    people.peak.insert(people.peak.end(), members, members + types);
    people.score.push_back(s.totals[i]);
  }
}

}  // namespace

void assign_keypoints(const Peaks& peaks, const CandidateParts& candidates, const Skeleton& skeleton,
                      const DecodeSettings& settings, People& people, AssignScratch& scratch) {
  PoseTable poses(peaks, skeleton, scratch.poses);
  Merging(poses, scratch.merge).run(candidates);
  if (settings.reassign || settings.join_distance > 0.0f || settings.allow_shared_keypoints) poses.link(candidates);
  if (settings.reassign) reassign(poses, scratch.reassign);
  if (settings.max_part_ratio > 0.0f) split_stretched(poses, settings, scratch.split);
  collect_fragments(poses, settings, scratch.join);
  if (settings.join_distance > 0.0f) join_fragments(poses, settings, scratch.join);
  if (settings.allow_shared_keypoints) Sharing(poses, scratch.share).run(scratch.join.fragments);
  emit(poses, settings.min_keypoints, scratch.join.fragments, people, scratch.emit);
}

}  // namespace simplepose
