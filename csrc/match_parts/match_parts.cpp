// match_parts on the CPU: the generic code, and what follows for every pair that is accepted.
#include "match_parts/match_parts.h"

#include <algorithm>
#include <cfloat>
#include <cmath>

#include "common/simd.h"
#include "match_parts/part.h"

namespace simplepose {
namespace {

// The response of a pair, the mean of its samples; false once too many of them have failed.
bool sample_pair(const Part& part, int32_t a, int32_t b, float* response) {
  float values[kMaxSamples];
  int failed = 0;
  for (int i = 0; i < part.samples; ++i) {
    const int k = part.middle_out[i];
    values[k] = part.sample(a, b, k);
    failed += !(values[k] > part.threshold);
    if (failed == part.failures()) return false;
  }
  float total = 0.0f;
  for (int k = 0; k < part.samples; ++k) total = total + values[k];
  *response = total / static_cast<float>(part.samples);
  return true;
}

void match_part_generic(const Part& part, MatchScratch& scratch) {
  for (int32_t a = part.ends.from_begin; a < part.ends.from_end; ++a) {
    for (int32_t b = part.ends.to_begin; b < part.ends.to_end; ++b) {
      float response;
      if (!sample_pair(part, a, b, &response)) continue;
      scratch.accepted.pair.push_back((a - part.ends.from_begin) * part.ends.to_count() + (b - part.ends.to_begin));
      scratch.accepted.response.push_back(response);
    }
  }
}

}  // namespace

void append_by_score(const Peaks& peaks, const PartEnds& ends, bool product, CandidateParts& candidates,
                     MatchScratch& scratch) {
  const AcceptedPairs& accepted = scratch.accepted;
  const int32_t to_count = ends.to_count();
  scratch.score.resize(accepted.pair.size());
  scratch.keys.clear();
  for (size_t i = 0; i < accepted.pair.size(); ++i) {
    const int32_t from = accepted.pair[i] / to_count, to = accepted.pair[i] - from * to_count;
    const float score_from = peaks.score[ends.from_begin + from], score_to = peaks.score[ends.to_begin + to];
    const float score = part_score(accepted.response[i], score_from, score_to, product) + 0.0f;  // -0 ties with 0
    scratch.score[i] = score;
    if (std::fabs(score) <= FLT_MAX) scratch.keys.push_back(uint64_t{descending_bits(score)} << 32 | i);
  }
  std::sort(scratch.keys.begin(), scratch.keys.end());
  for (const uint64_t key : scratch.keys) {
    const auto i = static_cast<uint32_t>(key);
    const int32_t from = accepted.pair[i] / to_count, to = accepted.pair[i] - from * to_count;
    candidates.from.push_back(ends.from_begin + from);
    candidates.to.push_back(ends.to_begin + to);
    candidates.response.push_back(accepted.response[i]);
    candidates.score.push_back(scratch.score[i]);
  }
  candidates.first.push_back(candidates.size());
}

void match_parts(const float* maps, int height, int width, const Peaks& peaks, const Skeleton& skeleton,
                 const DecodeSettings& settings, CandidateParts& candidates, MatchScratch& scratch) {
  candidates.clear();
  float positions[kMaxSamples];
  int middle_out[kMaxSamples];
  const int samples = settings.num_samples;
  for (int k = 0; k < samples; ++k) {
    positions[k] = static_cast<float>(k) / static_cast<float>(samples - 1);
    middle_out[k] = k % 2 ? samples / 2 + k / 2 : (samples - 1) / 2 - k / 2;
  }
  if (samples % 2) {
    for (int k = 0; k < samples; ++k) middle_out[k] = samples / 2 + (k % 2 ? (k + 1) / 2 : -(k / 2));
  }
  Part part;
  part.height = height, part.width = width;
  part.peaks = &peaks;
  part.samples = samples, part.needed = settings.min_samples;
  part.threshold = settings.part_threshold;
  part.positions = positions, part.middle_out = middle_out;
  const bool avx2 = use_avx2();
  for (int index = 0; index < skeleton.parts(); ++index) {
    part.map = maps + int64_t{index} * height * width;
    part.ends = part_ends(skeleton, peaks, index);
    scratch.accepted.clear();
    if (part.ends.from_count() != 0 && part.ends.to_count() != 0) {
#if SP_X86
      avx2 && !part.narrow() ? match_part_avx2(part, scratch) : match_part_generic(part, scratch);
#else
      (void)avx2;
      match_part_generic(part, scratch);
#endif
    }
    append_by_score(peaks, part.ends, settings.part_score_product, candidates, scratch);
  }
}

}  // namespace simplepose
