// match_pafs on the CPU.
#include "match_parts/match_pafs.h"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <vector>

namespace simplepose {
namespace {

constexpr int32_t kAhead = 10;  // pairs whose first cells are read ahead

// The vector field of one part type of one image, and the rules of a pair.
struct Field {
  const float *x_map, *y_map;
  int height, width;
  int samples, failures;  // a pair fails once so many of its samples do not exceed the threshold
  float threshold;
  bool length_penalty;
  const float* positions;  // [samples] k / (samples - 1)
  const int* order;        // [samples] the order in which the samples are tested
};

// The map between the cell (x0, y0), whose neighbors are in the map, and its neighbors: bilinear() of values that are
// finite. Another value makes the result infinite or NaN.
float between(const float* cell, int width, float fx, float fy) {
  const float top = cell[0] + fx * (cell[1] - cell[0]);
  const float bottom = cell[width] + fx * (cell[width + 1] - cell[width]);
  return top + fy * (bottom - top);
}

// The component along (ux, uy) of the field at (x, y).
float component(const Field& field, float x, float y, float ux, float uy) {
  if (field.width > 1 && field.height > 1) {
    const int x0 = std::min(static_cast<int>(x), field.width - 2), y0 = std::min(static_cast<int>(y), field.height - 2);
    const float fx = x - static_cast<float>(x0), fy = y - static_cast<float>(y0);
    const int64_t cell = int64_t{y0} * field.width + x0;
    const float value =
        between(field.x_map + cell, field.width, fx, fy) * ux + between(field.y_map + cell, field.width, fx, fy) * uy;
    if (std::fabs(value) <= FLT_MAX) return value;
  }
  const PlainMap x_map{field.x_map, field.width}, y_map{field.y_map, field.width};
  return bilinear(x_map, field.height, field.width, x, y) * ux + bilinear(y_map, field.height, field.width, x, y) * uy;
}

// Where a sample of the line from a to b lies.
float position(const Field& field, int k, float a, float b, int cells) {
  return sample_position(a, b, field.positions[k], static_cast<float>(cells - 1));
}

// Reads the cells around the first sample of a pair into the cache.
void prefetch(const Field& field, float ax, float ay, float bx, float by) {
  const auto x = static_cast<int64_t>(position(field, field.order[0], ax, bx, field.width));
  const auto y = static_cast<int64_t>(position(field, field.order[0], ay, by, field.height));
  const int64_t cell = y * field.width + x;
  __builtin_prefetch(field.x_map + cell);
  __builtin_prefetch(field.y_map + cell);
  __builtin_prefetch(field.x_map + cell + field.width);
  __builtin_prefetch(field.y_map + cell + field.width);
}

// The response of the pair from (ax, ay) to (bx, by) in the direction (ux, uy); false if it is no candidate.
bool sample_pair(const Field& field, float ax, float ay, float bx, float by, float ux, float uy, float* response) {
  float values[kMaxSamples];
  int failed = 0;
  for (int i = 0; i < field.samples; ++i) {
    const int k = field.order[i];
    values[k] =
        component(field, position(field, k, ax, bx, field.width), position(field, k, ay, by, field.height), ux, uy);
    failed += !(values[k] > field.threshold);
    if (failed == field.failures) return false;
  }
  float total = 0.0f;
  for (int k = 0; k < field.samples; ++k) total = total + values[k];
  *response = total / static_cast<float>(field.samples);
  return true;
}

// The response of a pair of that length with the penalty for long parts; false if it is not positive then.
bool penalize(const Field& field, float length, float* response) {
  const float penalty = 0.5f * static_cast<float>(field.height) / length - 1.0f;
  *response = *response + (penalty < 0.0f ? penalty : 0.0f);
  return *response > 0.0f;
}

// The unit vectors from one peak to others, (0, 0) where they coincide, and their distances.
struct Directions {
  std::vector<float> ux, uy, length;

  void fill(float ax, float ay, const float* __restrict bx, const float* __restrict by, int32_t count) {
    for (auto* column : {&ux, &uy, &length}) column->resize(count);
    float* __restrict x = ux.data(), * __restrict y = uy.data(), * __restrict l = length.data();
    for (int32_t i = 0; i < count; ++i) {
      const float dx = bx[i] - ax, dy = by[i] - ay;
      l[i] = std::sqrt(dx * dx + dy * dy);
      x[i] = l[i] > 0.0f ? dx / l[i] : 0.0f;
      y[i] = l[i] > 0.0f ? dy / l[i] : 0.0f;
    }
  }
};

void match_field(const Field& field, const Peaks& peaks, const PartEnds& ends, AcceptedPairs& accepted) {
  thread_local Directions directions;
  const int32_t count = ends.to_count();
  const float *bx = peaks.x.data() + ends.to_begin, *by = peaks.y.data() + ends.to_begin;
  for (int32_t a = ends.from_begin; a < ends.from_end; ++a) {
    const float ax = peaks.x[a], ay = peaks.y[a];
    directions.fill(ax, ay, bx, by, count);
    for (int32_t b = 0; b < std::min(count, kAhead); ++b) prefetch(field, ax, ay, bx[b], by[b]);
    for (int32_t b = 0; b < count; ++b) {
      if (b + kAhead < count) prefetch(field, ax, ay, bx[b + kAhead], by[b + kAhead]);
      float response;
      if (!sample_pair(field, ax, ay, bx[b], by[b], directions.ux[b], directions.uy[b], &response)) continue;
      if (field.length_penalty && !penalize(field, directions.length[b], &response)) continue;
      accepted.pair.push_back((a - ends.from_begin) * count + b);
      accepted.response.push_back(response);
    }
  }
}

}  // namespace

void match_pafs(const float* maps, int height, int width, const Peaks& peaks, const Skeleton& skeleton,
                const DecodeSettings& settings, CandidateParts& candidates, MatchScratch& scratch) {
  candidates.clear();
  float positions[kMaxSamples];
  int order[kMaxSamples];
  const int samples = settings.num_samples;
  for (int k = 0; k < samples; ++k) {
    positions[k] = static_cast<float>(k) / static_cast<float>(samples - 1);
    // from the middle outwards: the keypoints at the ends have parts of other pairs beside them
    order[k] = k % 2 ? samples / 2 + k / 2 : (samples - 1) / 2 - k / 2;
    if (samples % 2) order[k] = samples / 2 + (k % 2 ? (k + 1) / 2 : -(k / 2));
  }
  const int64_t cells = int64_t{height} * width;
  for (int part = 0; part < skeleton.parts(); ++part) {
    const float* x_map = maps + 2 * part * cells;
    const Field field{x_map,
                      x_map + cells,
                      height,
                      width,
                      samples,
                      samples - settings.min_samples + 1,
                      settings.part_threshold,
                      settings.length_penalty,
                      positions,
                      order};
    const PartEnds ends = part_ends(skeleton, peaks, part);
    scratch.accepted.clear();
    match_field(field, peaks, ends, scratch.accepted);
    append_by_score(peaks, ends, settings.part_score_product, candidates, scratch);
  }
}

}  // namespace simplepose
