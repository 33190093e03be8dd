// assign_keypoints on the CPU: a union-find, one pass over the peaks, the join of near pieces, the people.
#include "assign_keypoints/assign_keypoints.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "assign_keypoints/join_fragments.h"

namespace simplepose {
namespace {

constexpr float kLeastGain = 1e-6f;  // rule 4 moves a keypoint only for a gain in evidence above this
constexpr int kFewRivals = 5;        // so many are summed one by one; for more, all of the type are summed at once

class Assignment : PoseTable {
 public:
  Assignment(const Peaks& peaks, const CandidateParts& candidates, const Skeleton& skeleton,
             const DecodeSettings& settings, AssignScratch& scratch)
      : PoseTable(peaks, skeleton, settings, scratch), candidates_(candidates) {}

  void run(People& people) {
    unite();
    fill_table();
    if (settings_.reassign || settings_.join_distance > 0.0f || settings_.allow_shared_keypoints) link();
    if (settings_.reassign) recheck();
    collect_pieces(*this, poses_);
    if (settings_.join_distance > 0.0f) join_near_pieces(*this);
    if (settings_.allow_shared_keypoints) share_taken_peaks();
    emit(people);
  }

 private:
  int32_t root(int32_t peak) {
    int32_t* parent = s_.parent.data();
    while (parent[peak] != peak) peak = parent[peak] = parent[parent[peak]];
    return peak;
  }

  // Rule 3. The root of a set is its smallest peak.
  void unite() {
    const int32_t count = peaks_.size();
    s_.parent.resize(at(count));
    s_.types.assign(at(count), TypeSet{});
    for (int32_t peak = 0; peak < count; ++peak) {
      s_.parent[at(peak)] = peak;
      s_.types[at(peak)].add(peaks_.type[at(peak)]);
    }
    for (int32_t i = 0; i < candidates_.size(); ++i) {
      const int32_t a = root(candidates_.from[at(i)]), b = root(candidates_.to[at(i)]);
      const int32_t kept = std::min(a, b), gone = std::max(a, b);
      if (kept == gone || s_.types[at(kept)].meets(s_.types[at(gone)])) continue;
      s_.parent[at(gone)] = kept;
      s_.types[at(kept)].merge(s_.types[at(gone)]);
    }
  }

  void fill_table() {
    const int32_t count = peaks_.size();
    int32_t poses = 0;
    s_.pose_of.resize(at(count));
    for (int32_t peak = 0; peak < count; ++peak) {
      const int32_t first = root(peak);  // stands before every other peak of its pose
      s_.pose_of[at(peak)] = first == peak ? poses++ : s_.pose_of[at(first)];
    }
    s_.table.assign(at(poses) * at(skeleton_.keypoints), -1);
    for (int32_t peak = 0; peak < count; ++peak) row(s_.pose_of[at(peak)])[peaks_.type[at(peak)]] = peak;
    poses_ = poses;
  }

  // The links of each peak, in the order of the candidates: sums over them round alike in every backend.
  void link() {
    const int32_t count = peaks_.size(), parts = candidates_.size();
    s_.link_first.assign(at(count) + 2, 0);
    int32_t* next = s_.link_first.data() + 1;  // shifted by one while filling
    for (int32_t i = 0; i < parts; ++i) {
      ++next[at(candidates_.from[at(i)]) + 1], ++next[at(candidates_.to[at(i)]) + 1];
    }
    for (int32_t peak = 0; peak < count; ++peak) next[at(peak) + 1] += next[at(peak)];
    s_.links.resize(2 * at(parts));
    for (int32_t i = 0; i < parts; ++i) {
      const int32_t a = candidates_.from[at(i)], b = candidates_.to[at(i)];
      const float evidence = candidates_.evidence[at(i)];
      s_.links[at(next[a]++)] = {b, evidence};
      s_.links[at(next[b]++)] = {a, evidence};
    }
  }

  float evidence(int32_t peak, int32_t pose) const {
    float total = 0.0f;
    for (const Link* link = links_begin(peak); link != links_end(peak); ++link) {
      if (s_.pose_of[at(link->other)] == pose) total = total + link->evidence;
    }
    return total;
  }

  int32_t first_peak(int32_t pose) {
    const int32_t* peaks = row(pose);
    int32_t first = INT32_MAX;
    for (int type = 0; type < skeleton_.keypoints; ++type) {
      if (peaks[type] >= 0) first = std::min(first, peaks[type]);
    }
    return first;
  }

  // evidence(peak, its own pose), summed anew only after the pose has changed.
  float own_evidence(int32_t peak) {
    const int32_t pose = s_.pose_of[at(peak)], version = s_.version[at(pose)];
    if (s_.own_version[at(peak)] != version) {
      s_.own_version[at(peak)] = version;
      s_.own_evidence[at(peak)] = evidence(peak, pose);
    }
    return s_.own_evidence[at(peak)];
  }

  // Rule 4.
  void recheck() {
    s_.stamp.assign(at(poses_), -1);
    s_.sums.resize(at(poses_));
    s_.version.resize(at(poses_));
    std::iota(s_.version.begin(), s_.version.end(), 0);
    versions_ = poses_;
    s_.own_version.assign(at(peaks_.size()), -1);
    s_.own_evidence.resize(at(peaks_.size()));
    s_.all_evidence.resize(at(peaks_.size()));
    for (int32_t peak = 0; peak < peaks_.size(); ++peak) {
      float total = 0.0f;
      for (const Link* link = links_begin(peak); link != links_end(peak); ++link) total += std::fabs(link->evidence);
      s_.all_evidence[at(peak)] = total;
    }
    for (int32_t peak = 0; peak < peaks_.size(); ++peak) {
      const int32_t home = s_.pose_of[at(peak)];
      s_.touched.clear();
      s_.stamp[at(home)] = peak, s_.sums[at(home)] = 0.0f;
      for (const Link* link = links_begin(peak); link != links_end(peak); ++link) {
        const int32_t pose = s_.pose_of[at(link->other)];
        if (s_.stamp[at(pose)] != peak) {
          s_.stamp[at(pose)] = peak, s_.sums[at(pose)] = 0.0f;
          s_.touched.push_back(pose);
        }
        s_.sums[at(pose)] = s_.sums[at(pose)] + link->evidence;
      }
      if (!s_.touched.empty()) move_to_best(peak, home);
    }
  }

  // evidence(peak, home) of all peaks of a type at once, through the links of the home's members. Each part adds at
  // most one link to a peak's sum, and parts come in their order, so the sums round as evidence() does.
  void sum_rivals(int32_t type, int32_t home) {
    const int32_t begin = peaks_.first[at(type)], end = peaks_.first[at(type) + 1];
    s_.rival_evidence.assign(at(end - begin), 0.0f);
    for (int part = 0; part < skeleton_.parts(); ++part) {
      const int32_t from = skeleton_.from[at(part)], to = skeleton_.to[at(part)];
      if (from != type && to != type) continue;
      const int32_t member = row(home)[from == type ? to : from];
      if (member < 0) continue;
      const int32_t kind = peaks_.type[at(member)];  // its links come by part
      const Link* link = std::partition_point(links_begin(member), links_end(member), [&](const Link& other) {
        return part_between(kind, peaks_.type[at(other.other)]) < part;
      });
      for (; link != links_end(member) && link->other >= begin && link->other < end; ++link) {
        float& sum = s_.rival_evidence[at(link->other - begin)];
        sum = sum + link->evidence;
      }
    }
  }

  void move_to_best(int32_t peak, int32_t home) {
    const int32_t type = peaks_.type[at(peak)];
    int rivals = 0;
    int32_t best = -1;
    float best_gain = kLeastGain;
    for (const int32_t pose : s_.touched) {
      const int32_t rival = row(pose)[type];
      const float here = s_.sums[at(home)], there = s_.sums[at(pose)];
      float gain;
      if (rival < 0) {
        gain = there - here;
      } else {
        const float lost = own_evidence(rival), all = s_.all_evidence[at(rival)];
        // What the rival could bring to `home` is at most all it has elsewhere. Most pairs end here; the slack
        // covers rounding, so that no exchange is missed.
        const float slack = 1e-4f * (std::fabs(there) + std::fabs(here) + all);
        if (there - here + (all - std::fabs(lost)) - lost < best_gain - slack) continue;
        if (++rivals == kFewRivals) sum_rivals(type, home);
        const float brought =
            rivals < kFewRivals ? evidence(rival, home) : s_.rival_evidence[at(rival - peaks_.first[at(type)])];
        gain = (there + brought) - (here + lost);
      }
      if (gain > best_gain || (gain == best_gain && best >= 0 && first_peak(pose) < first_peak(best))) {
        best = pose, best_gain = gain;
      }
    }
    if (best < 0) return;
    const int32_t rival = row(best)[type];
    row(home)[type] = rival;
    if (rival >= 0) s_.pose_of[at(rival)] = home;
    row(best)[type] = peak;
    s_.pose_of[at(peak)] = best;
    s_.version[at(home)] = versions_++;
    s_.version[at(best)] = versions_++;
  }

  // Rule 7. The shared peaks go into the poses' rows after all have been judged.
  void share_taken_peaks() {
    s_.shared.clear();  // (pose, peak) pairs
    std::vector<uint8_t> taken(at(peaks_.size()), 0);
    for (const Piece& piece : s_.pieces) {
      for (int type = 0; type < skeleton_.keypoints; ++type) {
        if (row(piece.pose)[type] >= 0) taken[at(row(piece.pose)[type])] = 1;
      }
    }
    for (const Piece& piece : s_.pieces) {
      const int32_t* members = row(piece.pose);
      if (skeleton_.keypoints - std::count(members, members + skeleton_.keypoints, -1) < 2) continue;
      for (int type = 0; type < skeleton_.keypoints; ++type) {
        if (members[type] >= 0) continue;
        const int32_t peak = most_evident(members, type, taken);
        if (peak >= 0) s_.shared.push_back(piece.pose), s_.shared.push_back(peak);
      }
    }
    for (size_t i = 0; i < s_.shared.size(); i += 2) {
      row(s_.shared[i])[peaks_.type[at(s_.shared[i + 1])]] = s_.shared[i + 1];
    }
  }

  int32_t most_evident(const int32_t* members, int type, const std::vector<uint8_t>& taken) {
    int32_t best = -1;
    float best_total = 0.0f;
    for (int32_t peak = peaks_.first[at(type)]; peak < peaks_.first[at(type) + 1]; ++peak) {
      if (!taken[at(peak)]) continue;
      bool found = false;
      float total = 0.0f;
      for (const Link* link = links_begin(peak); link != links_end(peak); ++link) {
        if (members[peaks_.type[at(link->other)]] != link->other) continue;
        total = total + link->evidence;
        found = true;
      }
      if (!found || (best >= 0 && !(total > best_total))) continue;
      int contradicting = 0;
      for (int other = 0; other < skeleton_.keypoints; ++other) {
        contradicting += part_between(type, other) >= 0 && members[other] >= 0 && !linked(peak, members[other]);
      }
      if (contradicting <= 1) best = peak, best_total = total;
    }
    return best;
  }

  // Rule 6.
  void emit(People& people) {
    s_.order.clear(), s_.totals.clear();
    for (size_t i = 0; i < s_.pieces.size(); ++i) {
      const int32_t* members = row(s_.pieces[i].pose);
      int count = 0;
      float total = 0.0f;
      for (int type = 0; type < skeleton_.keypoints; ++type) {
        if (members[type] < 0) continue;
        ++count;
        total = total + peaks_.score[at(members[type])];
        s_.pieces[i].first_peak = std::min(s_.pieces[i].first_peak, members[type]);
      }
      s_.totals.push_back(total);
      if (count >= settings_.min_keypoints) s_.order.push_back(static_cast<int32_t>(i));
    }
    std::sort(s_.order.begin(), s_.order.end(), [this](int32_t a, int32_t b) {
      if (s_.totals[at(a)] != s_.totals[at(b)]) return s_.totals[at(a)] > s_.totals[at(b)];
      if (s_.pieces[at(a)].first_peak != s_.pieces[at(b)].first_peak) {
        return s_.pieces[at(a)].first_peak < s_.pieces[at(b)].first_peak;
      }
      return a < b;
    });
    people.peak.clear(), people.score.clear();
    for (const int32_t i : s_.order) {
      const int32_t* members = row(s_.pieces[at(i)].pose);
      people.peak.insert(people.peak.end(), members, members + skeleton_.keypoints);
      people.score.push_back(s_.totals[at(i)]);
    }
  }

  const CandidateParts& candidates_;
  int32_t poses_ = 0;
  int32_t versions_ = 0;  // given out by recheck, each once
};

}  // namespace

void assign_keypoints(const Peaks& peaks, const CandidateParts& candidates, const Skeleton& skeleton,
                      const DecodeSettings& settings, People& people, AssignScratch& scratch) {
  Assignment(peaks, candidates, skeleton, settings, scratch).run(people);
}

}  // namespace simplepose
