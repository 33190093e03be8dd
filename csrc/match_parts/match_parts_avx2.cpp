// match_parts with AVX2: eight pairs at a time. A first look at the middle samples drops most pairs; the others are
// sampled in full.
#include "common/simd.h"
#if SP_X86
#include <immintrin.h>

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstring>

#include "match_parts/part.h"

namespace simplepose {
namespace {

constexpr int32_t kPairsAtOnce = 1024;  // their lines fit in the first-level cache
constexpr int64_t kCellsPerPair = 64;   // a pass over all cells is made if a pair has at most so many of them

// Eight pairs of peaks.
struct Lines {
  __m256 ax, ay, bx, by;
};

// Two neighboring floats from each of eight places: `low` gets the first ones, `high` the second ones.
SP_AVX2 SP_INLINE void load_pairs(const float* map, const int32_t* cell, __m256* low, __m256* high) {
  const auto load = [map, cell](int i) SP_AVX2 {
    double both;  // the two floats; they need not be aligned as a double is
    std::memcpy(&both, map + cell[i], sizeof both);
    return _mm_castpd_ps(_mm_set_sd(both));
  };
  const auto two = [map, cell, load](int i, int j)
                       SP_AVX2 { return _mm_loadh_pi(load(i), reinterpret_cast<const __m64*>(map + cell[j])); };
  const __m256 even = _mm256_insertf128_ps(_mm256_castps128_ps256(two(0, 1)), two(4, 5), 1);
  const __m256 odd = _mm256_insertf128_ps(_mm256_castps128_ps256(two(2, 3)), two(6, 7), 1);
  *low = _mm256_shuffle_ps(even, odd, _MM_SHUFFLE(2, 0, 2, 0));
  *high = _mm256_shuffle_ps(even, odd, _MM_SHUFFLE(3, 1, 3, 1));
}

SP_AVX2 SP_INLINE __m256 position(__m256 a, __m256 b, float t, float last) {
  const __m256 p = _mm256_add_ps(a, _mm256_mul_ps(_mm256_set1_ps(t), _mm256_sub_ps(b, a)));
  return _mm256_min_ps(_mm256_max_ps(p, _mm256_setzero_ps()), _mm256_set1_ps(last));
}

// Where sample k of eight lines lies: the position and its upper left cell, as bilinear() computes them.
struct Places {
  __m256 x, y;
  __m256i x0, y0;
  alignas(32) int32_t cell[8];
};

SP_AVX2 SP_INLINE void locate(const Part& part, const Lines& lines, int k, Places* places) {
  places->x = position(lines.ax, lines.bx, part.positions[k], part.last_x());
  places->y = position(lines.ay, lines.by, part.positions[k], part.last_y());
  places->x0 = _mm256_min_epi32(_mm256_cvttps_epi32(places->x), _mm256_set1_epi32(part.width - 2));
  places->y0 = _mm256_min_epi32(_mm256_cvttps_epi32(places->y), _mm256_set1_epi32(part.height - 2));
  const __m256i row = _mm256_mullo_epi32(places->y0, _mm256_set1_epi32(part.width));
  _mm256_store_si256(reinterpret_cast<__m256i*>(places->cell), _mm256_add_epi32(row, places->x0));
  __asm__ volatile("" : "+m"(places->cell));  // or gcc extracts the lanes one by one, slower than loading them
}

// Sample k of eight lines, as bilinear() computes it. A non-finite value in the map makes its sample non-finite; those
// lanes are done again one by one.
SP_AVX2 SP_INLINE __m256 sample_lines(const Part& part, const Lines& lines, int k) {
  Places at;
  locate(part, lines, k, &at);
  const __m256 fx = _mm256_sub_ps(at.x, _mm256_cvtepi32_ps(at.x0)), fy = _mm256_sub_ps(at.y, _mm256_cvtepi32_ps(at.y0));
  __m256 v00, v01, v10, v11;
  load_pairs(part.map, at.cell, &v00, &v01);
  load_pairs(part.map + part.width, at.cell, &v10, &v11);
  const __m256 top = _mm256_add_ps(v00, _mm256_mul_ps(fx, _mm256_sub_ps(v01, v00)));
  const __m256 bottom = _mm256_add_ps(v10, _mm256_mul_ps(fx, _mm256_sub_ps(v11, v10)));
  __m256 value = _mm256_add_ps(top, _mm256_mul_ps(fy, _mm256_sub_ps(bottom, top)));
  const __m256 size = _mm256_and_ps(value, _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff)));
  unsigned odd = _mm256_movemask_ps(_mm256_cmp_ps(size, _mm256_set1_ps(FLT_MAX), _CMP_NLE_UQ));
  if (__builtin_expect(odd != 0, 0)) {
    alignas(32) float values[8], xs[8], ys[8];
    _mm256_store_ps(values, value), _mm256_store_ps(xs, at.x), _mm256_store_ps(ys, at.y);
    for (; odd; odd &= odd - 1) {
      const int lane = __builtin_ctz(odd);
      values[lane] = bilinear(PlainMap{part.map, part.width}, part.height, part.width, xs[lane], ys[lane]);
    }
    value = _mm256_load_ps(values);
  }
  return value;
}

// For each cell that bilinear() may start from, whether any of its four values could lift a sample above the threshold.
// There is a margin for rounding. Magnitudes are compared, so large negative values and those that are not finite pass
// too; the second look decides. One pass in memory order costs less than the scattered reads that it saves.
SP_AVX2 void fill_reachable(const Part& part, std::vector<uint8_t>& reachable) {
  const size_t width = part.width, height = part.height;
  const float threshold = part.threshold - 1e-6f * part.threshold;
  reachable.resize((height + 2) * width);
  uint8_t* row_bits[2] = {reachable.data() + height * width, reachable.data() + (height + 1) * width};
  for (size_t y = 0; y < height; ++y) {
    const float* row = part.map + y * width;
    uint8_t *current = row_bits[y & 1], *previous = row_bits[~y & 1];
    for (size_t x = 0; x < width; x += 16)
      _mm_prefetch(reinterpret_cast<const char*>(row + x + kPrefetch), _MM_HINT_T0);
    for (size_t x = 0; x < width; ++x) current[x] = std::fabs(row[x]) > threshold ? 0xff : 0;
    if (y == 0) continue;
    uint8_t* out = reachable.data() + (y - 1) * width;
    for (size_t x = 0; x < width; ++x) previous[x] = static_cast<uint8_t>(previous[x] | current[x]);
    for (size_t x = 0; x + 1 < width; ++x) out[x] = static_cast<uint8_t>(previous[x] | previous[x + 1]);
  }
}

// Lanes of which one of the first `looks` samples may exceed the threshold.
SP_AVX2 SP_INLINE unsigned reachable_lanes(const Part& part, const Lines& lines, int looks, const uint8_t* reachable) {
  uint64_t hit = 0;  // a byte a lane
  for (int i = 0; i < looks; ++i) {
    Places at;
    locate(part, lines, part.middle_out[i], &at);
    for (int lane = 0; lane < 8; ++lane) hit |= uint64_t{reachable[at.cell[lane]]} << (8 * lane);
  }
  return _mm_movemask_epi8(_mm_cvtsi64_si128(hit));
}

// Lanes of which one of the first `looks` samples exceeds the threshold.
SP_AVX2 SP_INLINE unsigned sampled_lanes(const Part& part, const Lines& lines, int looks) {
  const __m256 threshold = _mm256_set1_ps(part.threshold);
  __m256 above = _mm256_setzero_ps();
  for (int i = 0; i < looks; ++i) {
    const __m256 sample = sample_lines(part, lines, part.middle_out[i]);
    above = _mm256_or_ps(above, _mm256_cmp_ps(sample, threshold, _CMP_GT_OQ));
  }
  return _mm256_movemask_ps(above);
}

SP_AVX2 SP_INLINE Lines load_lines(const PairLines& pairs, size_t at) {
  return {_mm256_loadu_ps(pairs.ax.data() + at), _mm256_loadu_ps(pairs.ay.data() + at),
          _mm256_loadu_ps(pairs.bx.data() + at), _mm256_loadu_ps(pairs.by.data() + at)};
}

// All pairs of the from-peaks [begin, end) and the part's to-peaks, as lines.
size_t expand_pairs(const Part& part, int32_t begin, int32_t end, PairLines& lines) {
  const float *px = part.peaks->x.data(), *py = part.peaks->y.data();
  const size_t to_count = part.ends.to_count();
  lines.resize((end - begin) * to_count);
  size_t at = 0;
  for (int32_t a = begin; a < end; ++a, at += to_count) {
    std::fill_n(lines.ax.data() + at, to_count, px[a]);
    std::fill_n(lines.ay.data() + at, to_count, py[a]);
    std::copy_n(px + part.ends.to_begin, to_count, lines.bx.data() + at);
    std::copy_n(py + part.ends.to_begin, to_count, lines.by.data() + at);
  }
  return at;
}

// Permutations that move the chosen lanes to the front, in order.
struct FrontTable {
  uint8_t lanes[256][8] = {};
  FrontTable() {
    for (int mask = 0; mask < 256; ++mask) {
      int count = 0;
      for (uint8_t lane = 0; lane < 8; ++lane) {
        if (mask >> lane & 1) lanes[mask][count++] = lane;
      }
    }
  }
};
const FrontTable kFront;

SP_AVX2 SP_INLINE __m256i front_lanes(unsigned mask) {
  return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(kFront.lanes[mask])));
}

SP_AVX2 SP_INLINE void store_front(float* to, __m256 values, __m256i front) {
  _mm256_storeu_ps(to, _mm256_permutevar8x32_ps(values, front));
}

SP_AVX2 SP_INLINE void store_front(int32_t* to, __m256i values, __m256i front) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm256_permutevar8x32_epi32(values, front));
}

// The pairs in scratch.all, of which `first` is the first one's index, that may still be candidates: appended to
// scratch.kept and scratch.accepted.pair, in order.
SP_AVX2 void first_look_avx2(const Part& part, int32_t first, size_t count, bool use_reachable, MatchScratch& scratch) {
  const int looks = part.failures();
  size_t kept = scratch.accepted.pair.size();
  scratch.accepted.pair.resize(kept + count + 7), scratch.kept.resize(kept + count);
  __m256i pair = _mm256_add_epi32(_mm256_set1_epi32(first), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  for (size_t done = 0; done < count; done += 8, pair = _mm256_add_epi32(pair, _mm256_set1_epi32(8))) {
    const Lines lines = load_lines(scratch.all, done);
    unsigned lanes = use_reachable ? reachable_lanes(part, lines, looks, scratch.reachable.data())
                                   : sampled_lanes(part, lines, looks);
    if (count - done < 8) lanes &= (1u << (count - done)) - 1;
    const __m256i front = front_lanes(lanes);
    store_front(scratch.accepted.pair.data() + kept, pair, front);
    store_front(scratch.kept.ax.data() + kept, lines.ax, front);
    store_front(scratch.kept.ay.data() + kept, lines.ay, front);
    store_front(scratch.kept.bx.data() + kept, lines.bx, front);
    store_front(scratch.kept.by.data() + kept, lines.by, front);
    kept += __builtin_popcount(lanes);
  }
  scratch.accepted.pair.resize(kept), scratch.kept.resize(kept);
}

// Samples the pairs in scratch.kept in full and leaves those with enough samples above the threshold.
SP_AVX2 void second_look_avx2(const Part& part, MatchScratch& scratch) {
  const size_t count = scratch.accepted.pair.size();
  const __m256 threshold = _mm256_set1_ps(part.threshold), samples = _mm256_set1_ps(static_cast<float>(part.samples));
  scratch.accepted.pair.resize(count + 7), scratch.accepted.response.resize(count + 7);
  size_t kept = 0;
  for (size_t done = 0; done < count; done += 8) {
    const Lines lines = load_lines(scratch.kept, done);
    __m256 total = _mm256_setzero_ps();
    __m256i above = _mm256_setzero_si256();
    for (int k = 0; k < part.samples; ++k) {
      const __m256 value = sample_lines(part, lines, k);
      total = _mm256_add_ps(total, value);
      above = _mm256_sub_epi32(above, _mm256_castps_si256(_mm256_cmp_ps(value, threshold, _CMP_GT_OQ)));
    }
    const __m256i enough = _mm256_cmpgt_epi32(above, _mm256_set1_epi32(part.needed - 1));
    unsigned lanes = _mm256_movemask_ps(_mm256_castsi256_ps(enough));
    if (count - done < 8) lanes &= (1u << (count - done)) - 1;
    const __m256i front = front_lanes(lanes);
    const __m256i pair = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(scratch.accepted.pair.data() + done));
    store_front(scratch.accepted.pair.data() + kept, pair, front);
    store_front(scratch.accepted.response.data() + kept, _mm256_div_ps(total, samples), front);
    kept += __builtin_popcount(lanes);
  }
  scratch.accepted.pair.resize(kept), scratch.accepted.response.resize(kept);
}

}  // namespace

void match_part_avx2(const Part& part, MatchScratch& scratch) {
  const int64_t pairs = int64_t{part.ends.from_count()} * part.ends.to_count();
  const bool use_reachable = pairs * kCellsPerPair >= int64_t{part.width} * part.height;
  if (use_reachable) fill_reachable(part, scratch.reachable);
  const int32_t step = std::max(1, kPairsAtOnce / part.ends.to_count());
  for (int32_t begin = part.ends.from_begin; begin < part.ends.from_end; begin += step) {
    const int32_t end = std::min(begin + step, part.ends.from_end);
    const size_t count = expand_pairs(part, begin, end, scratch.all);
    first_look_avx2(part, (begin - part.ends.from_begin) * part.ends.to_count(), count, use_reachable, scratch);
  }
  second_look_avx2(part, scratch);
}

}  // namespace simplepose
#endif
