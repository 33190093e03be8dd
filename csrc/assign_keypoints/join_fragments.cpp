// Rule 5 on the CPU: a heap of pairs of pieces, the nearest first.
#include "assign_keypoints/join_fragments.h"

#include <cmath>

namespace simplepose {
namespace {

class Pieces : PoseTable {
 public:
  explicit Pieces(const PoseTable& table) : PoseTable(table) {}

  // Poses, single peaks only from a score on.
  void collect(int32_t poses) {
    s_.pieces.clear(), s_.members.clear();
    for (int32_t pose = 0; pose < poses; ++pose) {
      const int32_t* peaks = row(pose);
      Piece piece{{}, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, pose, INT32_MAX, 0, 0, 0};
      piece.begin = static_cast<int32_t>(s_.members.size());
      int count = 0;
      for (int type = 0; type < skeleton_.keypoints; ++type) {
        if (peaks[type] < 0) continue;
        const float x = peaks_.x[at(peaks[type])], y = peaks_.y[at(peaks[type])];
        if (count++ == 0) piece.left = piece.right = x, piece.top = piece.bottom = y;
        piece.left = std::min(piece.left, x), piece.right = std::max(piece.right, x);
        piece.top = std::min(piece.top, y), piece.bottom = std::max(piece.bottom, y);
        piece.types.add(type);
        s_.members.push_back({x, y, type, peaks[type]});
        piece.first_peak = std::min(piece.first_peak, peaks[type]);
      }
      if (count == 0) continue;
      if (count == 1 && !(peaks_.score[at(piece.first_peak)] >= settings_.min_single_score)) {
        s_.members.pop_back();
        continue;
      }
      piece.end = piece.begin + count;
      const float width = piece.right - piece.left, height = piece.bottom - piece.top;
      piece.size = std::max(std::sqrt(width * width + height * height), settings_.min_join_size);
      s_.pieces.push_back(piece);
    }
    // Poses may have changed their smallest peak in rule 4.
    std::sort(s_.pieces.begin(), s_.pieces.end(),
              [](const Piece& a, const Piece& b) { return a.first_peak < b.first_peak; });
  }

  void join_all() {
    s_.heap.clear();
    const auto count = static_cast<int32_t>(s_.pieces.size());
    for (int32_t a = 0; a < count; ++a) {
      for (int32_t b = a + 1; b < count; ++b) judge(a, b);
    }
    std::make_heap(s_.heap.begin(), s_.heap.end(), Later{});
    while (!s_.heap.empty()) {
      std::pop_heap(s_.heap.begin(), s_.heap.end(), Later{});
      const JoinCandidate top = s_.heap.back();
      s_.heap.pop_back();
      if (s_.pieces[at(top.a)].version != top.version_a || s_.pieces[at(top.b)].version != top.version_b) continue;
      join(top.a, top.b);
      for (int32_t other = 0; other < count; ++other) {
        if (other == top.a || s_.pieces[at(other)].version < 0) continue;
        if (judge(std::min(top.a, other), std::max(top.a, other))) {
          std::push_heap(s_.heap.begin(), s_.heap.end(), Later{});
        }
      }
    }
    s_.pieces.erase(
        std::remove_if(s_.pieces.begin(), s_.pieces.end(), [](const Piece& piece) { return piece.version < 0; }),
        s_.pieces.end());
  }

 private:
  // Later is better: std::push_heap keeps the largest on top.
  struct Later {  // a type, so that the heap's functions take it inline
    bool operator()(const JoinCandidate& a, const JoinCandidate& b) const {
      if (a.cost != b.cost) return a.cost > b.cost;
      if (a.first_a != b.first_a) return a.first_a > b.first_a;
      return a.first_b > b.first_b;
    }
  };

  void join(int32_t kept, int32_t gone) {
    Piece &to = s_.pieces[at(kept)], &from = s_.pieces[at(gone)];
    int32_t *to_row = row(to.pose), *from_row = row(from.pose);
    for (int type = 0; type < skeleton_.keypoints; ++type) {
      if (from_row[type] >= 0) to_row[type] = from_row[type];
    }
    to.types.merge(from.types);
    to.size = std::max(to.size, from.size);  // no growth, so no chain reaction
    to.left = std::min(to.left, from.left), to.right = std::max(to.right, from.right);
    to.top = std::min(to.top, from.top), to.bottom = std::max(to.bottom, from.bottom);
    const auto begin = static_cast<int32_t>(s_.members.size());
    for (const Piece* piece : {&to, &from}) {
      for (int32_t i = piece->begin; i < piece->end; ++i) s_.members.push_back(Member(s_.members[at(i)]));
    }
    to.begin = begin, to.end = static_cast<int32_t>(s_.members.size());
    ++to.version;
    from.version = -1;
  }

  // Pushes the pair a < b (by first peak, as the pieces are sorted) onto the heap's end if it may join.
  bool judge(int32_t a, int32_t b) {
    const Piece &p = s_.pieces[at(a)], &q = s_.pieces[at(b)];
    if (p.types.meets(q.types)) return false;
    const float limit = settings_.join_distance * std::max(p.size, q.size);
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

  // Between the nearest keypoints of two pieces, at least 1 cell.
  float distance(const Piece& p, const Piece& q) const {
    float least = INFINITY;
    for (int32_t i = p.begin; i < p.end; ++i) {
      const Member& a = s_.members[at(i)];
      for (int32_t j = q.begin; j < q.end; ++j) {
        const Member& b = s_.members[at(j)];
        const float dx = a.x - b.x, dy = a.y - b.y;
        least = std::min(least, dx * dx + dy * dy);
      }
    }
    return std::max(1.0f, std::sqrt(least));
  }

  // Pairs of keypoints, one of each piece, that the skeleton has a part for but no candidate was found. It stops at the
  // first that makes the cost exceed the limit.
  int contradictions(const Piece& p, const Piece& q, float near, float limit) const {
    int count = 0;
    for (int32_t i = p.begin; i < p.end; ++i) {
      const Member& a = s_.members[at(i)];
      for (int32_t j = q.begin; j < q.end; ++j) {
        const Member& b = s_.members[at(j)];
        if (part_between(a.type, b.type) < 0 || linked(a.peak, b.peak)) continue;
        ++count;
        if (!(near * static_cast<float>(1 + count) <= limit)) return count;
      }
    }
    return count;
  }
};

}  // namespace

void collect_pieces(const PoseTable& table, int32_t poses) { Pieces(table).collect(poses); }

void join_near_pieces(const PoseTable& table) { Pieces(table).join_all(); }

}  // namespace simplepose
