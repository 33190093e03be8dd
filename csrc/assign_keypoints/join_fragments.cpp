// Rule 5 on the CPU: a heap of pairs of fragments, the smallest cost first.
#include "assign_keypoints/join_fragments.h"

#include <algorithm>
#include <cmath>

namespace simplepose {
namespace {

class Joining {
 public:
  Joining(PoseTable& poses, float join_distance, JoinScratch& scratch)
      : poses_(poses), join_distance_(join_distance), s_(scratch) {}

  void run() {
    s_.heap.clear();
    const auto count = static_cast<int32_t>(s_.fragments.size());
    for (int32_t a = 0; a < count; ++a) {
      for (int32_t b = a + 1; b < count; ++b) push_if_near(a, b);
    }
    std::make_heap(s_.heap.begin(), s_.heap.end(), Later{});
    while (!s_.heap.empty()) {
      std::pop_heap(s_.heap.begin(), s_.heap.end(), Later{});
      const JoinCandidate top = s_.heap.back();
      s_.heap.pop_back();
      if (s_.fragments[top.a].version != top.version_a || s_.fragments[top.b].version != top.version_b) continue;
      join(top.a, top.b);
      for (int32_t other = 0; other < count; ++other) {
        if (other == top.a || s_.fragments[other].version < 0) continue;
        if (push_if_near(std::min(top.a, other), std::max(top.a, other))) {
          std::push_heap(s_.heap.begin(), s_.heap.end(), Later{});
        }
      }
    }
    s_.fragments.erase(std::remove_if(s_.fragments.begin(), s_.fragments.end(),
                                      [](const Fragment& fragment) { return fragment.version < 0; }),
                       s_.fragments.end());
  }

 private:
  // The order of the heap: std::push_heap keeps the largest on top, so this compares the other way round. A type and
  // not a function, so that it is inlined.
  struct Later {
    bool operator()(const JoinCandidate& a, const JoinCandidate& b) const {
      if (a.cost != b.cost) return a.cost > b.cost;
      if (a.first_a != b.first_a) return a.first_a > b.first_a;
      return a.first_b > b.first_b;
    }
  };

  void join(int32_t kept, int32_t gone) {
    Fragment &to = s_.fragments[kept], &from = s_.fragments[gone];
    int32_t *to_row = poses_.row(to.pose), *from_row = poses_.row(from.pose);
    for (int type = 0; type < poses_.skeleton.keypoints; ++type) {
      if (from_row[type] >= 0) to_row[type] = from_row[type];
    }
    to.types.merge(from.types);
    to.size = std::max(to.size, from.size);  // not that of both together, so joins do not start further joins
    to.left = std::min(to.left, from.left), to.right = std::max(to.right, from.right);
    to.top = std::min(to.top, from.top), to.bottom = std::max(to.bottom, from.bottom);
    const auto begin = static_cast<int32_t>(s_.members.size());
    for (const Fragment* fragment : {&to, &from}) {
      for (int32_t i = fragment->begin; i < fragment->end; ++i) s_.members.push_back(Member(s_.members[i]));
    }
    to.begin = begin, to.end = static_cast<int32_t>(s_.members.size());
    ++to.version;
    from.version = -1;
  }

  // Appends the pair a < b (by first peak, as the fragments are sorted) to the heap if it may join.
  bool push_if_near(int32_t a, int32_t b) {
    const Fragment &p = s_.fragments[a], &q = s_.fragments[b];
    if (p.types.meets(q.types)) return false;
    const float limit = join_distance_ * std::max(p.size, q.size);
    const float gap_x = std::max({0.0f, q.left - p.right, p.left - q.right});
    const float gap_y = std::max({0.0f, q.top - p.bottom, p.top - q.bottom});
    if (gap_x > limit || gap_y > limit) return false;  // the boxes are already too far apart
    const float near = distance(p, q);
    if (!(near <= limit)) return false;
    const float cost = near * static_cast<float>(1 + contradictions(p, q, near, limit));
    if (!(cost <= limit)) return false;
    s_.heap.push_back({cost, a, b, p.first_peak, q.first_peak, p.version, q.version});
    return true;
  }

  // Between the nearest keypoints of two fragments, at least 1 cell.
  float distance(const Fragment& p, const Fragment& q) const {
    float least = INFINITY;
    for (int32_t i = p.begin; i < p.end; ++i) {
      const Member& a = s_.members[i];
      for (int32_t j = q.begin; j < q.end; ++j) {
        const Member& b = s_.members[j];
        const float dx = a.x - b.x, dy = a.y - b.y;
        least = std::min(least, dx * dx + dy * dy);
      }
    }
    return std::max(1.0f, std::sqrt(least));
  }

  // Pairs of keypoints, one of each fragment, that the skeleton has a part for but no candidate was found. It stops at
  // the first that makes the cost exceed the limit.
  int contradictions(const Fragment& p, const Fragment& q, float near, float limit) const {
    int count = 0;
    for (int32_t i = p.begin; i < p.end; ++i) {
      const Member& a = s_.members[i];
      for (int32_t j = q.begin; j < q.end; ++j) {
        const Member& b = s_.members[j];
        if (poses_.part_between(a.type, b.type) < 0 || poses_.linked(a.peak, b.peak)) continue;
        ++count;
        if (!(near * static_cast<float>(1 + count) <= limit)) return count;
      }
    }
    return count;
  }

  PoseTable& poses_;
  float join_distance_;
  JoinScratch& s_;
};

}  // namespace

void collect_fragments(PoseTable& poses, const DecodeSettings& settings, JoinScratch& scratch) {
  const Peaks& peaks = poses.peaks;
  scratch.fragments.clear(), scratch.members.clear();
  for (int32_t pose = 0; pose < poses.count; ++pose) {
    const int32_t* row = poses.row(pose);
    Fragment fragment;
    fragment.pose = pose;
    fragment.begin = static_cast<int32_t>(scratch.members.size());
    int count = 0;
    for (int type = 0; type < poses.skeleton.keypoints; ++type) {
      if (row[type] < 0) continue;
      const float x = peaks.x[row[type]], y = peaks.y[row[type]];
      if (count++ == 0) fragment.left = fragment.right = x, fragment.top = fragment.bottom = y;
      fragment.left = std::min(fragment.left, x), fragment.right = std::max(fragment.right, x);
      fragment.top = std::min(fragment.top, y), fragment.bottom = std::max(fragment.bottom, y);
      fragment.types.add(type);
      scratch.members.push_back({x, y, type, row[type]});
      fragment.first_peak = std::min(fragment.first_peak, row[type]);
    }
    if (count == 0) continue;
    if (count == 1 && !(peaks.score[fragment.first_peak] >= settings.min_single_score)) {
      scratch.members.pop_back();
      continue;
    }
    fragment.end = fragment.begin + count;
    const float width = fragment.right - fragment.left, height = fragment.bottom - fragment.top;
    fragment.size = std::max(std::sqrt(width * width + height * height), settings.min_join_size);
    scratch.fragments.push_back(fragment);
  }
  // Rule 4 may have changed the smallest peak of a pose.
  std::sort(scratch.fragments.begin(), scratch.fragments.end(),
            [](const Fragment& a, const Fragment& b) { return a.first_peak < b.first_peak; });
}

void join_fragments(PoseTable& poses, const DecodeSettings& settings, JoinScratch& scratch) {
  Joining(poses, settings.join_distance, scratch).run();
}

}  // namespace simplepose
