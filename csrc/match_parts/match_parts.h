// match_parts: scores every pair of peaks that a body part could connect (rule 2). Reference: match_parts
// of the reference implementation.
//
// The map is sampled bilinearly at `samples` evenly spaced points, both ends included. A pair is a candidate if enough
// samples exceed the threshold and its part score is finite. Non-finite map values read as 0. A sample of an affinity
// field is the vector's component along the pair.
#pragma once

#include <cstdint>
#include <vector>

#include "common/float_maths.h"
#include "common/limits.h"
#include "common/types.h"

namespace simplepose {

// A batch of pairs of peaks of one part type, as lines from a to b. The vector code drops pairs in place, and reads and
// writes up to 15 elements beyond the end.
struct PairBatch {
  static constexpr int32_t kMost = 1024;  // they fit in the first-level cache
  float ax[kMost + 15], ay[kMost + 15], bx[kMost + 15], by[kMost + 15];
  int32_t pair[kMost + 15];     // as AcceptedPairs::pair
  int32_t counted[kMost + 15];  // the samples counted so far
  int32_t count = 0;
};

// Pairs of one part type of which enough samples exceed the threshold, in (from-peak, to-peak) order.
struct AcceptedPairs {
  std::vector<int32_t> pair;    // from-peak * number of to-peaks + to-peak, each counted within its type
  std::vector<float> response;  // the mean of the samples

  void clear() { pair.clear(), response.clear(); }
};

// A pair that is accepted, with its peaks.
struct Candidate {
  int32_t from, to;
  float response, score;
};

// For each block of 2^shift_x x 2^shift_y cells, whether a sample that starts in one of its cells may exceed the
// threshold: a bit of a table of 64 x 64.
struct BlockMarks {
  alignas(64) uint32_t words[128] = {};
  int shift_x = 0, shift_y = 0;
};

// Memory of match_parts, reused by later calls, so that a steady state allocates nothing.
struct MatchScratch {
  AcceptedPairs accepted;
  std::vector<Candidate> candidates;  // the accepted pairs
  std::vector<uint64_t> keys;         // those with a finite score, as integers that are ordered by score
  // The vector code:
  PairBatch batch;             // the pairs that it works on
  BlockMarks marks;            // those of the next part type
  bool marked = false;         // whether `marks` are complete
  std::vector<int32_t> cells;  // cells of the next part type that are read ahead
};

// Part maps [L, height, width], row by row; affinity fields [2 L, height, width], x, then y of each part. At most
// kMaxSamples samples.
void match_parts(const float* maps, int height, int width, const Peaks& peaks, const Skeleton& skeleton,
                 const DecodeSettings& settings, CandidateParts& candidates, MatchScratch& scratch);

// The last step for one part type: appends the pairs in scratch.accepted that have a finite part score, by descending
// score, ties in the order of the pairs. It must be called in the order of the part types.
void append_by_score(const Peaks& peaks, const PartEnds& ends, bool product, CandidateParts& candidates,
                     MatchScratch& scratch);

// The position of sample `k` of the line from a to b along one axis, clamped to the map.
SP_HD float sample_position(float a, float b, float t, float last) {
  const float p = a + t * (b - a);
  return p < 0.0f ? 0.0f : (p > last ? last : p);
}

// The map at (x, y) inside it: two interpolations along x, one along y. `map(y, x)` reads a cell.
template <typename Map>
SP_HD float bilinear(const Map& map, int height, int width, float x, float y) {
  int x0 = static_cast<int>(x), y0 = static_cast<int>(y);
  x0 = x0 < width - 2 ? x0 : (width > 1 ? width - 2 : 0);
  y0 = y0 < height - 2 ? y0 : (height > 1 ? height - 2 : 0);
  const int right = width > 1 ? 1 : 0, down = height > 1 ? 1 : 0;
  const float fx = x - static_cast<float>(x0), fy = y - static_cast<float>(y0);
  const float v00 = finite(map(y0, x0)), v01 = finite(map(y0, x0 + right));
  const float v10 = finite(map(y0 + down, x0)), v11 = finite(map(y0 + down, x0 + right));
  const float top = v00 + fx * (v01 - v00), bottom = v10 + fx * (v11 - v10);
  return top + fy * (bottom - top);
}

// The part score of a pair: the product, or the paper's weighted sum.
SP_HD float part_score(float response, float score_from, float score_to, bool product) {
  return product ? (response * score_from) * score_to : 0.5f * response + 0.25f * (score_from + score_to);
}

}  // namespace simplepose
