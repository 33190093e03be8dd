// match_parts on the CPU. A first look at the middle samples drops most pairs; the others are sampled in full, eight
// pairs at a time.
#include "match_parts.h"

#include <algorithm>
#include <cfloat>

#include "simd.h"
#if SP_X86
#include <immintrin.h>
#endif

namespace simplepose {
namespace {

constexpr int kMostSamples = 64;

// One part type of one image.
struct Part {
  const float* map;
  int height, width;
  const Peaks& peaks;
  int32_t from_begin, from_end, to_begin, to_end;
  int samples, needed;
  float threshold;
  const float* positions;  // [samples] k / (samples - 1)
  const int* middle_out;   // [samples] sample indices from the middle outwards

  float last_x() const { return static_cast<float>(width - 1); }
  float last_y() const { return static_cast<float>(height - 1); }
  // A pair fails once this many samples do not exceed the threshold.
  int failures() const { return samples - needed + 1; }
  bool narrow() const { return width < 2 || height < 2; }

  float sample(int32_t a, int32_t b, int k) const {
    const auto i = static_cast<size_t>(a), j = static_cast<size_t>(b);
    const float x = sample_position(peaks.x[i], peaks.x[j], positions[k], last_x());
    const float y = sample_position(peaks.y[i], peaks.y[j], positions[k], last_y());
    return bilinear(map, height, width, x, y);
  }
};

// Samples of one pair; false once too many have failed.
bool response_generic(const Part& part, int32_t a, int32_t b, float* response) {
  float values[kMostSamples];
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

void match_generic(const Part& part, MatchScratch& scratch) {
  for (int32_t a = part.from_begin; a < part.from_end; ++a) {
    for (int32_t b = part.to_begin; b < part.to_end; ++b) {
      float response;
      if (!response_generic(part, a, b, &response)) continue;
      scratch.from.push_back(a), scratch.to.push_back(b), scratch.response.push_back(response);
    }
  }
}

#if SP_X86
// Eight pairs of peaks.
struct Lines {
  __m256 ax, ay, bx, by;
};

// Two neighbouring floats from each of eight places: `low` gets the first ones, `high` the second ones.
SP_AVX2 inline void load_pairs(const float* map, const int32_t* cell, __m256* low, __m256* high) {
  const auto load = [map, cell](int i)
                        SP_AVX2 { return _mm_castpd_ps(_mm_load_sd(reinterpret_cast<const double*>(map + cell[i]))); };
  const auto two = [map, cell, load](int i, int j)
                       SP_AVX2 { return _mm_loadh_pi(load(i), reinterpret_cast<const __m64*>(map + cell[j])); };
  const __m256 even = _mm256_insertf128_ps(_mm256_castps128_ps256(two(0, 1)), two(4, 5), 1);
  const __m256 odd = _mm256_insertf128_ps(_mm256_castps128_ps256(two(2, 3)), two(6, 7), 1);
  *low = _mm256_shuffle_ps(even, odd, _MM_SHUFFLE(2, 0, 2, 0));
  *high = _mm256_shuffle_ps(even, odd, _MM_SHUFFLE(3, 1, 3, 1));
}

SP_AVX2 inline __m256 position(__m256 a, __m256 b, float t, float last) {
  const __m256 p = _mm256_add_ps(a, _mm256_mul_ps(_mm256_set1_ps(t), _mm256_sub_ps(b, a)));
  return _mm256_min_ps(_mm256_max_ps(p, _mm256_setzero_ps()), _mm256_set1_ps(last));
}

// Sample k of eight lines, as bilinear() computes it. A non-finite value in the map makes its sample non-finite; those
// lanes are done again one by one.
SP_AVX2 inline __m256 sample_lines(const Part& part, const Lines& lines, int k) {
  const __m256 x = position(lines.ax, lines.bx, part.positions[k], part.last_x());
  const __m256 y = position(lines.ay, lines.by, part.positions[k], part.last_y());
  const __m256i x0 = _mm256_min_epi32(_mm256_cvttps_epi32(x), _mm256_set1_epi32(part.width - 2));
  const __m256i y0 = _mm256_min_epi32(_mm256_cvttps_epi32(y), _mm256_set1_epi32(part.height - 2));
  alignas(32) int32_t cell[8];
  _mm256_store_si256(reinterpret_cast<__m256i*>(cell),
                     _mm256_add_epi32(_mm256_mullo_epi32(y0, _mm256_set1_epi32(part.width)), x0));
  const __m256 fx = _mm256_sub_ps(x, _mm256_cvtepi32_ps(x0)), fy = _mm256_sub_ps(y, _mm256_cvtepi32_ps(y0));
  __m256 v00, v01, v10, v11;
  load_pairs(part.map, cell, &v00, &v01);
  load_pairs(part.map + part.width, cell, &v10, &v11);
  const __m256 top = _mm256_add_ps(v00, _mm256_mul_ps(fx, _mm256_sub_ps(v01, v00)));
  const __m256 bottom = _mm256_add_ps(v10, _mm256_mul_ps(fx, _mm256_sub_ps(v11, v10)));
  __m256 value = _mm256_add_ps(top, _mm256_mul_ps(fy, _mm256_sub_ps(bottom, top)));
  const __m256 size = _mm256_and_ps(value, _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff)));
  auto odd = static_cast<unsigned>(_mm256_movemask_ps(_mm256_cmp_ps(size, _mm256_set1_ps(FLT_MAX), _CMP_NLE_UQ)));
  if (__builtin_expect(odd != 0, 0)) {
    alignas(32) float values[8], xs[8], ys[8];
    _mm256_store_ps(values, value), _mm256_store_ps(xs, x), _mm256_store_ps(ys, y);
    for (; odd; odd &= odd - 1) {
      const int lane = __builtin_ctz(odd);
      values[lane] = bilinear(part.map, part.height, part.width, xs[lane], ys[lane]);
    }
    value = _mm256_load_ps(values);
  }
  return value;
}

// The pairs of which not all of the first `failures` samples fail, in order, appended to scratch.from and .to.
SP_AVX2 void first_look_avx2(const Part& part, MatchScratch& scratch) {
  const int looks = part.failures();
  const auto to_count = static_cast<size_t>(part.to_end - part.to_begin);
  const auto total = static_cast<size_t>(part.from_end - part.from_begin) * to_count;
  scratch.from.resize(total + 8), scratch.to.resize(total + 8);
  size_t kept = 0;
  const __m256 threshold = _mm256_set1_ps(part.threshold);
  const float *px = part.peaks.x.data(), *py = part.peaks.y.data();
  alignas(32) float ax[8], ay[8], bx[8], by[8];
  int32_t from[8], to[8];
  int32_t a = part.from_begin, b = part.to_begin;
  for (size_t done = 0; done < total; done += 8) {
    for (int lane = 0; lane < 8; ++lane) {  // beyond the last pair the lanes repeat it
      from[lane] = a, to[lane] = b;
      ax[lane] = px[a], ay[lane] = py[a], bx[lane] = px[b], by[lane] = py[b];
      if (b + 1 < part.to_end) {
        ++b;
      } else if (a + 1 < part.from_end) {
        ++a, b = part.to_begin;
      }
    }
    const Lines lines{_mm256_load_ps(ax), _mm256_load_ps(ay), _mm256_load_ps(bx), _mm256_load_ps(by)};
    __m256 above = _mm256_setzero_ps();
    for (int i = 0; i < looks; ++i) {
      above = _mm256_or_ps(above, _mm256_cmp_ps(sample_lines(part, lines, part.middle_out[i]), threshold, _CMP_GT_OQ));
    }
    auto lanes = static_cast<unsigned>(_mm256_movemask_ps(above));
    if (total - done < 8) lanes &= (1u << (total - done)) - 1;
    for (; lanes; lanes &= lanes - 1) {
      const int lane = __builtin_ctz(lanes);
      scratch.from[kept] = from[lane], scratch.to[kept] = to[lane];
      ++kept;
    }
  }
  scratch.from.resize(kept), scratch.to.resize(kept);
}

// Samples the pairs in scratch in full and keeps those with enough samples above the threshold.
SP_AVX2 void second_look_avx2(const Part& part, MatchScratch& scratch) {
  const size_t count = scratch.from.size();
  const __m256 threshold = _mm256_set1_ps(part.threshold);
  const float *px = part.peaks.x.data(), *py = part.peaks.y.data();
  scratch.response.resize(count);
  size_t kept = 0;
  alignas(32) float ax[8], ay[8], bx[8], by[8], responses[8];
  for (size_t done = 0; done < count; done += 8) {
    const size_t lanes_used = std::min<size_t>(8, count - done);
    for (size_t lane = 0; lane < 8; ++lane) {
      const size_t pair = done + std::min(lane, lanes_used - 1);
      const int32_t a = scratch.from[pair], b = scratch.to[pair];
      ax[lane] = px[a], ay[lane] = py[a], bx[lane] = px[b], by[lane] = py[b];
    }
    const Lines lines{_mm256_load_ps(ax), _mm256_load_ps(ay), _mm256_load_ps(bx), _mm256_load_ps(by)};
    __m256 total = _mm256_setzero_ps();
    __m256i above = _mm256_setzero_si256();
    for (int k = 0; k < part.samples; ++k) {
      const __m256 value = sample_lines(part, lines, k);
      total = _mm256_add_ps(total, value);
      above = _mm256_sub_epi32(above, _mm256_castps_si256(_mm256_cmp_ps(value, threshold, _CMP_GT_OQ)));
    }
    const __m256i enough = _mm256_cmpgt_epi32(above, _mm256_set1_epi32(part.needed - 1));
    _mm256_store_ps(responses, _mm256_div_ps(total, _mm256_set1_ps(static_cast<float>(part.samples))));
    auto lanes = static_cast<unsigned>(_mm256_movemask_ps(_mm256_castsi256_ps(enough)));
    lanes &= (1u << lanes_used) - 1;
    for (; lanes; lanes &= lanes - 1) {
      const auto lane = static_cast<size_t>(__builtin_ctz(lanes));
      scratch.from[kept] = scratch.from[done + lane], scratch.to[kept] = scratch.to[done + lane];
      scratch.response[kept] = responses[lane];
      ++kept;
    }
  }
  scratch.from.resize(kept), scratch.to.resize(kept), scratch.response.resize(kept);
}
#endif

// Appends the pairs in scratch that have finite evidence, best first.
void append_by_rank(const Peaks& peaks, bool product, CandidateParts& candidates, MatchScratch& scratch) {
  const size_t count = scratch.from.size();
  scratch.evidence.resize(count);
  scratch.keys.clear();
  for (size_t i = 0; i < count; ++i) {
    const float score_from = peaks.score[static_cast<size_t>(scratch.from[i])];
    const float score_to = peaks.score[static_cast<size_t>(scratch.to[i])];
    const float evidence = rank_evidence(scratch.response[i], score_from, score_to, product);
    scratch.evidence[i] = evidence + 0.0f;  // -0 ties with 0
    if (std::fabs(evidence) <= FLT_MAX) {
      scratch.keys.push_back(static_cast<uint64_t>(descending_bits(scratch.evidence[i])) << 32 | i);
    }
  }
  std::sort(scratch.keys.begin(), scratch.keys.end());
  for (const uint64_t key : scratch.keys) {
    const auto i = static_cast<size_t>(key & 0xffffffffu);
    candidates.from.push_back(scratch.from[i]);
    candidates.to.push_back(scratch.to[i]);
    candidates.response.push_back(scratch.response[i]);
    candidates.evidence.push_back(scratch.evidence[i]);
  }
}

}  // namespace

void match_parts(const float* maps, int height, int width, const Peaks& peaks, const Skeleton& skeleton,
                 const DecodeSettings& settings, CandidateParts& candidates, MatchScratch& scratch) {
  candidates.from.clear(), candidates.to.clear(), candidates.response.clear(), candidates.evidence.clear();
  candidates.first.assign(1, 0);
  float positions[kMostSamples];
  int middle_out[kMostSamples];
  const int samples = settings.samples;
  for (int k = 0; k < samples; ++k) {
    positions[k] = static_cast<float>(k) / static_cast<float>(samples - 1);
    middle_out[k] = k % 2 ? samples / 2 + k / 2 : (samples - 1) / 2 - k / 2;
  }
  if (samples % 2) {
    for (int k = 0; k < samples; ++k) middle_out[k] = samples / 2 + (k % 2 ? (k + 1) / 2 : -(k / 2));
  }
  const bool avx2 = use_avx2();
  for (int index = 0; index < skeleton.parts(); ++index) {
    const auto from = static_cast<size_t>(skeleton.from[static_cast<size_t>(index)]);
    const auto to = static_cast<size_t>(skeleton.to[static_cast<size_t>(index)]);
    const Part part{maps + static_cast<int64_t>(index) * height * width,
                    height,
                    width,
                    peaks,
                    peaks.first[from],
                    peaks.first[from + 1],
                    peaks.first[to],
                    peaks.first[to + 1],
                    samples,
                    settings.samples_needed,
                    settings.part_threshold,
                    positions,
                    middle_out};
    if (part.from_begin != part.from_end && part.to_begin != part.to_end) {
      scratch.from.clear(), scratch.to.clear(), scratch.response.clear();
#if SP_X86
      if (avx2 && !part.narrow()) {
        first_look_avx2(part, scratch);
        second_look_avx2(part, scratch);
      } else
#endif
      {
        match_generic(part, scratch);
      }
      append_by_rank(peaks, settings.rank_product, candidates, scratch);
    }
    candidates.first.push_back(candidates.size());
  }
}

}  // namespace simplepose
