// match_parts in vectors: a lane is a pair of peaks, or a sample where there are few pairs.
//
// Nearly all pairs of a crowded image connect two people, and most of their samples lie where the part map is low. So a
// pass over the map first marks the blocks of cells in which a sample can exceed the threshold. A pair is dropped if so
// many of its samples lie in other blocks that the remaining ones cannot be enough. The pairs that are left are
// sampled.
//
// Lemma. Let m be the threshold less 1e-6 of it. If the magnitudes of the four cells that bilinear() reads are at most
// m, the sample does not exceed the threshold.
//
// Proof. bilinear() computes a + f (b - a) with 0 <= f <= 1 twice in sequence. With u = 2^-24, the difference and the
// product of magnitudes up to 2 m are each off by at most 2 m u, the sum by m u. So a result is at most m (1 + 5 u)
// after one step and m (1 + 10 u) after two, up to terms of u^2. 10 u is 6e-7; m itself is off by at most 6e-8 of it.
//
// The marks therefore depend on magnitudes: cells with large negative values are marked, because rounding beside them
// may lift a sample above the threshold. NaN and infinity, which read as 0, are marked too. Marks can only be too many.
// No sample of a dropped pair that lies in an unmarked block exceeds the threshold, so the pair would also have failed
// in full. The accepted pairs and their responses are those of the generic code to the last bit.
#pragma once

#include <algorithm>

#include "match_parts/part.h"

namespace simplepose {
namespace {

#ifndef FEW
#define FEW 16
#endif
constexpr int64_t kFewPairs = FEW;  // so many pairs are sampled one after the other

// Prefetches the map of the next part type, a few cache lines at a time, while the pairs of this one are worked on.
class Ahead {
 public:
  explicit Ahead(const Part& part)
      : at_(part.next_map), end_(part.next_map + (part.next_map ? int64_t{part.height} * part.width : 0)) {}

  SP_VECTOR SP_INLINE void step() {
    for (int line = 0; line < kLines && at_ < end_; ++line, at_ += 16)
      _mm_prefetch(reinterpret_cast<const char*>(at_), _MM_HINT_T1);
  }

 private:
  static constexpr int kLines = 8;
  const float *at_, *end_;
};

// Pairs of peaks, one per lane.
struct Lines {
  Floats ax, ay, bx, by;
};

// Where samples lie: the positions and their upper left cells, as bilinear() computes them.
struct Places {
  Floats x, y;
  Ints x0, y0;
};

SP_VECTOR SP_INLINE Floats position(Floats a, Floats b, Floats t, float last) {
  return lesser(greater(a + t * (b - a), splat(0.0f)), splat(last));
}

SP_VECTOR SP_INLINE Places locate(const Part& part, const Lines& lines, Floats t) {
  Places at;
  at.x = position(lines.ax, lines.bx, t, part.last_x());
  at.y = position(lines.ay, lines.by, t, part.last_y());
  at.x0 = lesser(truncate(at.x), splat(part.width - 2));
  at.y0 = lesser(truncate(at.y), splat(part.height - 2));
  return at;
}

// The samples, as bilinear() computes them. A non-finite value in the map makes its sample non-finite; those lanes are
// done again one by one.
SP_VECTOR SP_INLINE Floats sample(const Part& part, const Places& at) {
  alignas(64) int32_t cells[kLanes];
  store(cells, add(multiply(at.y0, splat(part.width)), at.x0));
  __asm__ volatile("" : "+m"(cells));  // or gcc extracts the lanes one by one, slower than loading them
  const Floats fx = at.x - to_floats(at.x0), fy = at.y - to_floats(at.y0);
  Floats v00, v01, v10, v11;
  load_neighbors(part.map, cells, &v00, &v01);
  load_neighbors(part.map + part.width, cells, &v10, &v11);
  const Floats top = v00 + fx * (v01 - v00), bottom = v10 + fx * (v11 - v10);
  Floats value = top + fy * (bottom - top);
  unsigned odd = not_finite(value);
  if (__builtin_expect(odd != 0, 0)) {
    float values[kLanes], xs[kLanes], ys[kLanes];
    store(values, value), store(xs, at.x), store(ys, at.y);
    for (; odd; odd &= odd - 1) {
      const int lane = __builtin_ctz(odd);
      values[lane] = bilinear(PlainMap{part.map, part.width}, part.height, part.width, xs[lane], ys[lane]);
    }
    value = load(values);
  }
  return value;
}

// For each block of 2^shift_x x 2^shift_y cells, whether a sample that starts in one of its cells may exceed the
// threshold: a bit of a table of 64 x 64.
struct Blocks {
  alignas(64) uint32_t words[128] = {};
  int shift_x = 0, shift_y = 0;
};

// The even bits of a word, moved together.
inline uint64_t even_bits(uint64_t word) {
  word &= 0x5555555555555555u;
  word = (word | word >> 1) & 0x3333333333333333u;
  word = (word | word >> 2) & 0x0f0f0f0f0f0f0f0fu;
  word = (word | word >> 4) & 0x00ff00ff00ff00ffu;
  word = (word | word >> 8) & 0x0000ffff0000ffffu;
  return (word | word >> 16) & 0x00000000ffffffffu;
}

// One bit for each of the cells x to x + 63 of a row: whether its magnitude is above m.
SP_VECTOR SP_INLINE uint64_t marked_cells(const float* row, int x, int width, Ints m) {
  uint64_t marks = 0;
  if (x + 64 <= width) {
    for (int i = 0; i < 64; i += 16) _mm_prefetch(reinterpret_cast<const char*>(row + x + i + kPrefetch), _MM_HINT_T0);
    for (int i = 0; i < 64; i += kLanes) marks |= uint64_t{above(magnitude_bits(load(row + x + i)), m)} << i;
    return marks;
  }
  for (int i = 0; x + i < width; i += kLanes) {
    const Floats cells = load_first(row + x + i, width - x - i);
    marks |= uint64_t{above(magnitude_bits(cells), m)} << i;
  }
  return marks;
}

// The marks of a row of blocks, from those of its cells: a sample also reads the cells to the right.
inline uint64_t block_row(const uint64_t* cells, int words, int shift) {
  uint64_t row = 0, right = 0;
  for (int word = words - 1; word >= 0; --word) {
    uint64_t marks = cells[word] | cells[word] >> 1 | right << 63;
    right = cells[word];
    for (int halving = 0; halving < shift; ++halving) marks = even_bits(marks | marks >> 1);
    row |= marks << (word * 64 >> shift);
  }
  return row;
}

SP_VECTOR void mark_blocks(const Part& part, Blocks& blocks) {
  while ((part.width - 1) >> blocks.shift_x >= 64) ++blocks.shift_x;
  while ((part.height - 1) >> blocks.shift_y >= 64) ++blocks.shift_y;
  const Ints m = splat(float_bits(part.threshold - 1e-6f * part.threshold));
  const int words = (part.width + 63) / 64, rows = 1 << blocks.shift_y;
  uint64_t cells[Part::kMostColumns / 64] = {};  // of the rows of a block so far
  uint32_t* out = blocks.words;
  for (int y = 0; y < part.height; ++y) {
    const float* row = part.map + int64_t{y} * part.width;
    uint64_t marks[Part::kMostColumns / 64];
    for (int word = 0; word < words; ++word) {
      marks[word] = marked_cells(row, 64 * word, part.width, m);
      cells[word] |= marks[word];
    }
    const bool last = y + 1 == part.height;
    if (!last && (y == 0 || y % rows != 0)) continue;
    // This row also ends the blocks above it, whose samples read it.
    if (y != 0) {
      const uint64_t bits = block_row(cells, words, blocks.shift_x);
      *out++ = static_cast<uint32_t>(bits), *out++ = static_cast<uint32_t>(bits >> 32);
    }
    std::copy_n(marks, words, cells);
  }
}

SP_VECTOR SP_INLINE Lines load_lines(const PairBatch& batch, int at) {
  return {load(batch.ax + at), load(batch.ay + at), load(batch.bx + at), load(batch.by + at)};
}

// The lanes of the pairs from `done` on.
inline unsigned lanes_left(const PairBatch& batch, int done) {
  const int left = batch.count - done;
  return left < kLanes ? (1u << left) - 1 : (1u << kLanes) - 1;
}

// Moves the pairs at `done`, of which `lanes` are kept, to `kept`, not after `done`; returns where the next ones go.
SP_VECTOR SP_INLINE int keep(PairBatch& batch, int kept, int done, const Lines& lines, Ints counts, unsigned lanes) {
  const Packer packer(lanes);
  packer.store(batch.pair + kept, load(batch.pair + done));
  packer.store(batch.counted + kept, counts);
  packer.store(batch.ax + kept, lines.ax), packer.store(batch.ay + kept, lines.ay);
  packer.store(batch.bx + kept, lines.bx), packer.store(batch.by + kept, lines.by);
  return kept + __builtin_popcount(lanes);
}

// Adds 1 to the counts of the samples that lie in marked blocks.
class MarkedLook {
 public:
  SP_VECTOR SP_INLINE explicit MarkedLook(const Blocks& blocks)
      : table_(blocks.words), shift_x_(blocks.shift_x), shift_y_(blocks.shift_y) {}
  SP_VECTOR SP_INLINE Ints operator()(Ints counts, const Part&, const Places& at) const {
    return add(counts, table_.bits(shift_right(at.x0, shift_x_), shift_right(at.y0, shift_y_)));
  }

 private:
  BitTable table_;
  int shift_x_, shift_y_;
};

// Adds 1 to the counts of the samples that exceed the threshold.
struct SampledLook {
  SP_VECTOR SP_INLINE Ints operator()(Ints counts, const Part& part, const Places& at) const {
    return count_above(counts, sample(part, at), splat(part.threshold));
  }
};

// Counts the samples [begin, end), from the middle outwards, and drops the pairs that cannot have enough samples, even
// if all that follow are counted.
template <typename Look>
SP_VECTOR SP_INLINE void drop_pairs(const Part& part, int begin, int end, const Look& look, Ahead& ahead,
                                    PairBatch& batch) {
  const Ints too_few = splat(part.needed - (part.samples - end) - 1);
  int kept = 0;
  for (int done = 0; done < batch.count; done += kLanes) {
    const Lines lines = load_lines(batch, done);
    Ints counts = load(batch.counted + done);
    ahead.step();
    for (int i = begin; i < end; ++i)
      counts = look(counts, part, locate(part, lines, splat(part.positions[part.middle_out[i]])));
    kept = keep(batch, kept, done, lines, counts, above(counts, too_few) & lanes_left(batch, done));
  }
  batch.count = kept;
}

// Samples one pair, kLanes of its samples at a time, and appends it if enough of them exceed the threshold.
SP_VECTOR SP_INLINE void sample_pair(const Part& part, int32_t a, int32_t b, int32_t pair, AcceptedPairs& accepted) {
  const Peaks& peaks = *part.peaks;
  const Lines line{splat(peaks.x[a]), splat(peaks.y[a]), splat(peaks.x[b]), splat(peaks.y[b])};
  float values[kMaxSamples];
  int count = 0;
  for (int k = 0; k < part.samples; k += kLanes) {
    const Floats value = sample(part, locate(part, line, load(part.positions + k)));
    store(values + k, value);
    const unsigned lanes = part.samples - k < kLanes ? (1u << (part.samples - k)) - 1 : (1u << kLanes) - 1;
    count += __builtin_popcount(above(value, splat(part.threshold)) & lanes);
  }
  if (count < part.needed) return;
  float total = 0.0f;
  for (int k = 0; k < part.samples; ++k) total = total + values[k];
  accepted.pair.push_back(pair), accepted.response.push_back(total / static_cast<float>(part.samples));
}

// Samples the pairs of the batch in full and appends those with enough samples above the threshold.
SP_VECTOR void sample_pairs(const Part& part, const PairBatch& batch, Ahead& ahead, AcceptedPairs& accepted) {
  const Floats threshold = splat(part.threshold), samples = splat(static_cast<float>(part.samples));
  size_t kept = accepted.pair.size();
  accepted.pair.resize(kept + batch.count + kLanes), accepted.response.resize(kept + batch.count + kLanes);
  int done = 0;
  for (; done + kFewPairs < batch.count; done += kLanes) {
    const Lines lines = load_lines(batch, done);
    Floats total = splat(0.0f);
    Ints count = splat(0);
    for (int k = 0; k < part.samples; ++k) {
      const Floats value = sample(part, locate(part, lines, splat(part.positions[k])));
      ahead.step();
      total = total + value;
      count = count_above(count, value, threshold);
    }
    const unsigned lanes = above(count, splat(part.needed - 1)) & lanes_left(batch, done);
    const Packer packer(lanes);
    packer.store(accepted.pair.data() + kept, load(batch.pair + done));
    packer.store(accepted.response.data() + kept, total / samples);
    kept += __builtin_popcount(lanes);
  }
  accepted.pair.resize(kept), accepted.response.resize(kept);
  const int32_t to_count = part.ends.to_count();
  for (; done < batch.count; ++done) {
    const int32_t pair = batch.pair[done], from = pair / to_count, to = pair - from * to_count;
    sample_pair(part, part.ends.from_begin + from, part.ends.to_begin + to, pair, accepted);
  }
}

// Appends pairs to the batch until it is full, from the pair (a, b) on, which moves to the next pair.
inline void fill_batch(const Part& part, int32_t& a, int32_t& b, PairBatch& batch) {
  const PartEnds& ends = part.ends;
  const Peaks& peaks = *part.peaks;
  batch.count = 0;
  while (a < ends.from_end && batch.count < PairBatch::kMost) {
    const int32_t count = std::min(ends.to_end - b, PairBatch::kMost - batch.count), at = batch.count;
    std::fill_n(batch.ax + at, count, peaks.x[a]), std::fill_n(batch.ay + at, count, peaks.y[a]);
    std::copy_n(peaks.x.data() + b, count, batch.bx + at), std::copy_n(peaks.y.data() + b, count, batch.by + at);
    const int32_t pair = (a - ends.from_begin) * ends.to_count() + (b - ends.to_begin);
    for (int32_t i = 0; i < count; ++i) batch.pair[at + i] = pair + i;
    std::fill_n(batch.counted + at, count, 0);
    batch.count += count, b += count;
    if (b == ends.to_end) ++a, b = ends.to_begin;
  }
  // The lanes beyond the end repeat a pair, so that they read no other cells.
  std::fill_n(batch.ax + batch.count, kLanes - 1, batch.ax[0]),
      std::fill_n(batch.ay + batch.count, kLanes - 1, batch.ay[0]);
  std::fill_n(batch.bx + batch.count, kLanes - 1, batch.bx[0]),
      std::fill_n(batch.by + batch.count, kLanes - 1, batch.by[0]);
}

SP_VECTOR SP_INLINE void match_part(const Part& part, MatchScratch& scratch) {
  const PartEnds& ends = part.ends;
  const int64_t pairs = ends.pairs();
  int32_t a = ends.from_begin, b = ends.to_begin;
  if (pairs <= kFewPairs) {
    for (int32_t pair = 0; pair < pairs; ++pair) {
      sample_pair(part, a, b, pair, scratch.accepted);
      if (++b == ends.to_end) ++a, b = ends.to_begin;
    }
    return;
  }
  const int failures = part.failures(), middle = std::min(2 * failures, part.samples);
  Ahead ahead(part);
  if (!part.crowded(ends)) {
    while (a < ends.from_end) {
      fill_batch(part, a, b, scratch.batch);
      drop_pairs(part, 0, failures, SampledLook(), ahead, scratch.batch);
      sample_pairs(part, scratch.batch, ahead, scratch.accepted);
    }
    return;
  }
  Blocks blocks;
  mark_blocks(part, blocks);
  const MarkedLook look(blocks);
  while (a < ends.from_end) {
    fill_batch(part, a, b, scratch.batch);
    drop_pairs(part, 0, failures, look, ahead, scratch.batch);
    drop_pairs(part, failures, middle, look, ahead, scratch.batch);
    drop_pairs(part, middle, part.samples, look, ahead, scratch.batch);
    sample_pairs(part, scratch.batch, ahead, scratch.accepted);
  }
}

}  // namespace
}  // namespace simplepose
