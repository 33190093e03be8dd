// match_parts on the CPU: the generic code, and what follows for every pair that is accepted.
#include "match_parts/match_parts.h"

#include <cfloat>
#include <cmath>

#include "common/simd.h"
#include "common/sort_keys.h"
#include "match_parts/part.h"

namespace simplepose {
namespace {

// The response of a pair, the mean of its samples; false once too many of them have failed.
bool sample_pair(const Part& part, int32_t a, int32_t b, float* response) {
  const Direction along = part.field() ? part.direction(a, b) : Direction{};
  float values[kMaxSamples];
  int failed = 0;
  for (int i = 0; i < part.samples; ++i) {
    const int k = part.middle_out[i];
    values[k] = part.sample(a, b, k, along);
    failed += !(values[k] > part.threshold);
    if (failed == part.failures()) return false;
  }
  float total = 0.0f;
  for (int k = 0; k < part.samples; ++k) total = total + values[k];
  *response = total / static_cast<float>(part.samples);
  return true;
}

void match_part_generic(const Part& part, const Part*, MatchScratch& scratch) {
  for (int32_t a = part.ends.from_begin; a < part.ends.from_end; ++a) {
    for (int32_t b = part.ends.to_begin; b < part.ends.to_end; ++b) {
      float response;
      if (!sample_pair(part, a, b, &response)) continue;
      scratch.accepted.pair.push_back((a - part.ends.from_begin) * part.ends.to_count() + (b - part.ends.to_begin));
      scratch.accepted.response.push_back(response);
    }
  }
}

using MatchPart = void (*)(const Part&, const Part*, MatchScratch&);

MatchPart best_match_part(const Part& part) {
#if SP_X86
  if (!part.narrow() && use_avx512()) return match_part_avx512;
  if (!part.narrow() && use_avx2()) return match_part_avx2;
#else
  (void)part;
#endif
  return match_part_generic;
}

// Lowers the responses of pairs that are longer than half the height of the maps, and drops those that are not positive
// then.
void penalize_lengths(const Part& part, AcceptedPairs& accepted) {
  const auto to_count = part.ends.to_count();
  size_t kept = 0;
  for (size_t i = 0; i < accepted.pair.size(); ++i) {
    const int32_t pair = accepted.pair[i];
    const float length = part.length(part.ends.from_begin + pair / to_count, part.ends.to_begin + pair % to_count);
    const float penalty = 0.5f * static_cast<float>(part.height) / length - 1.0f;
    const float response = accepted.response[i] + (penalty < 0.0f ? penalty : 0.0f);
    accepted.pair[kept] = pair, accepted.response[kept] = response;
    kept += response > 0.0f;
  }
  accepted.pair.resize(kept), accepted.response.resize(kept);
}

}  // namespace

void append_by_score(const Peaks& peaks, const PartEnds& ends, bool product, CandidateParts& candidates,
                     MatchScratch& scratch) {
  const AcceptedPairs& accepted = scratch.accepted;
  const auto to_count = static_cast<uint32_t>(ends.to_count());
  const size_t count = accepted.pair.size();
  scratch.candidates.resize(count), scratch.keys.resize(count);
  size_t finite_scores = 0;
  for (size_t i = 0; i < count; ++i) {
    const auto pair = static_cast<uint32_t>(accepted.pair[i]);
    const auto from = static_cast<int32_t>(ends.from_begin + pair / to_count);
    const auto to = static_cast<int32_t>(ends.to_begin + pair % to_count);
    const float response = accepted.response[i];
    const float score = part_score(response, peaks.score[from], peaks.score[to], product) + 0.0f;  // -0 ties with 0
    scratch.candidates[i] = {from, to, response, score};
    scratch.keys[finite_scores] = uint64_t{descending_bits(score)} << 32 | i;
    finite_scores += std::fabs(score) <= FLT_MAX;
  }
  scratch.keys.resize(finite_scores);
  sort_keys(scratch.keys.data(), finite_scores);
  size_t at = candidates.from.size();
  candidates.resize(at + finite_scores);
  for (const uint64_t key : scratch.keys) {
    const Candidate& candidate = scratch.candidates[static_cast<uint32_t>(key)];
    candidates.from[at] = candidate.from, candidates.to[at] = candidate.to;
    candidates.response[at] = candidate.response, candidates.score[at] = candidate.score;
    ++at;
  }
  candidates.first.push_back(candidates.size());
}

void match_parts(const float* maps, int height, int width, const Peaks& peaks, const Skeleton& skeleton,
                 const DecodeSettings& settings, CandidateParts& candidates, MatchScratch& scratch) {
  candidates.clear();
  float positions[kMaxSamples] = {};
  int middle_out[kMaxSamples];
  const int samples = settings.num_samples;
  for (int k = 0; k < samples; ++k) {
    positions[k] = static_cast<float>(k) / static_cast<float>(samples - 1);
    middle_out[k] = k % 2 ? samples / 2 + k / 2 : (samples - 1) / 2 - k / 2;
  }
  if (samples % 2) {
    for (int k = 0; k < samples; ++k) middle_out[k] = samples / 2 + (k % 2 ? (k + 1) / 2 : -(k / 2));
  }
  const int64_t cells = int64_t{height} * width;
  const auto part_of = [&](int index) {
    Part part;
    part.map = maps + index * cells * (settings.paf ? 2 : 1);
    part.y_map = settings.paf ? part.map + cells : nullptr;
    part.height = height, part.width = width;
    part.peaks = &peaks, part.ends = part_ends(skeleton, peaks, index);
    part.samples = samples, part.needed = settings.min_samples;
    part.threshold = settings.part_threshold;
    part.positions = positions, part.middle_out = middle_out;
    return part;
  };
  scratch.marked = false;
  Part next = skeleton.parts() ? part_of(0) : Part();
  const auto match_part = best_match_part(next);
  for (int index = 0; index < skeleton.parts(); ++index) {
    const Part part = next;
    const bool more = index + 1 < skeleton.parts();
    if (more) next = part_of(index + 1);
    scratch.accepted.clear();
    match_part(part, more ? &next : nullptr, scratch);
    if (settings.paf && settings.length_penalty) penalize_lengths(part, scratch.accepted);
    append_by_score(peaks, part.ends, settings.part_score_product, candidates, scratch);
  }
}

}  // namespace simplepose
