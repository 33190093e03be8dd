// match_parts: scores every pair of peaks that a body part could connect (rule 2). Reference:
// simplepose/reference/match_parts.py.
//
// `samples` evenly spaced bilinear samples, both ends included; a candidate if enough exceed the threshold and its
// evidence is finite. Non-finite map values read as 0.
#pragma once

#include <vector>

#include "common/float_maths.h"
#include "common/types.h"

namespace simplepose {

constexpr int kMostSamples = 64;

// Pairs of peaks as lines from a to b, in arrays that a vector load may overrun by 7.
struct PairLines {
  std::vector<float> ax, ay, bx, by;

  void resize(size_t pairs) {
    for (auto* column : {&ax, &ay, &bx, &by}) column->resize(pairs + 7);
  }
};

// What match_parts keeps from call to call, so that a steady state allocates nothing.
struct MatchScratch {
  PairLines all, kept;        // pairs at the first look, and those that survive it
  std::vector<int32_t> pair;  // index of each of the latter in (from-peak, to-peak) order
  std::vector<float> response, evidence;
  std::vector<uint64_t> keys;
  std::vector<uint8_t> reach;  // [height * width], and two rows to make it
};

// Part maps [L, height, width], row by row.
void match_parts(const float* maps, int height, int width, const Peaks& peaks, const Skeleton& skeleton,
                 const DecodeSettings& settings, CandidateParts& candidates, MatchScratch& scratch);

// The last step for one part type, whose ends are the peaks from `from_begin` and the `to_count` peaks from `to_begin`:
// appends the pairs in scratch.pair, in ascending order, with their scratch.response, that have finite evidence, best
// first.
void append_by_rank(const Peaks& peaks, int32_t from_begin, int32_t to_begin, int32_t to_count, bool product,
                    CandidateParts& candidates, MatchScratch& scratch);

// Where sample `k` of the line from a to b lies along one axis, clamped to the map.
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

// The evidence of a pair: the product, or the paper's weighted sum.
SP_HD float rank_evidence(float response, float score_from, float score_to, bool product) {
  return product ? (response * score_from) * score_to : 0.5f * response + 0.25f * (score_from + score_to);
}

}  // namespace simplepose
