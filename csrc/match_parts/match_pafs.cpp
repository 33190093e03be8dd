// match_pafs on the CPU.
#include "match_parts/match_pafs.h"

#include <cmath>

namespace simplepose {
namespace {

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

// The response of the pair from (ax, ay) to (bx, by); false if it is no candidate.
bool sample_pair(const Field& field, float ax, float ay, float bx, float by, float* response) {
  const float dx = bx - ax, dy = by - ay;
  const float length = std::sqrt(dx * dx + dy * dy);
  const float ux = length > 0.0f ? dx / length : 0.0f, uy = length > 0.0f ? dy / length : 0.0f;
  const auto last_x = static_cast<float>(field.width - 1), last_y = static_cast<float>(field.height - 1);
  const PlainMap x_map{field.x_map, field.width}, y_map{field.y_map, field.width};
  float values[kMaxSamples];
  int failed = 0;
  for (int i = 0; i < field.samples; ++i) {
    const int k = field.order[i];
    const float x = sample_position(ax, bx, field.positions[k], last_x);
    const float y = sample_position(ay, by, field.positions[k], last_y);
    values[k] =
        bilinear(x_map, field.height, field.width, x, y) * ux + bilinear(y_map, field.height, field.width, x, y) * uy;
    failed += !(values[k] > field.threshold);
    if (failed == field.failures) return false;
  }
  float total = 0.0f;
  for (int k = 0; k < field.samples; ++k) total = total + values[k];
  *response = total / static_cast<float>(field.samples);
  if (!field.length_penalty) return true;
  const float penalty = 0.5f * static_cast<float>(field.height) / length - 1.0f;
  *response = *response + (penalty < 0.0f ? penalty : 0.0f);
  return *response > 0.0f;
}

void match_field(const Field& field, const Peaks& peaks, const PartEnds& ends, AcceptedPairs& accepted) {
  int32_t pair = 0;
  for (int32_t a = ends.from_begin; a < ends.from_end; ++a) {
    for (int32_t b = ends.to_begin; b < ends.to_end; ++b, ++pair) {
      float response;
      if (!sample_pair(field, peaks.x[a], peaks.y[a], peaks.x[b], peaks.y[b], &response)) continue;
      accepted.pair.push_back(pair);
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
