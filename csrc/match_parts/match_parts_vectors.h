// match_parts in vectors: a lane is a pair of peaks, or a sample where there are few pairs.
//
// Pairs are dropped in steps before the rest is sampled in full: with many pairs by marks_vectors.h, with fewer by
// their middle samples. Meanwhile the maps of the next part type are marked or read into the cache, because a call
// reads nearly all of its maps from memory.
#pragma once

#include <algorithm>

#include "match_parts/lines_vectors.h"
#include "match_parts/marks_vectors.h"

namespace simplepose {
namespace {

constexpr int64_t kFewPairs = 16;  // so many pairs are sampled one after the other

// Pairs from (a, b) on, by from-peak, then to-peak.
struct PairCursor {
  int32_t a, b;

  explicit PairCursor(const PartEnds& ends) : a(ends.from_begin), b(ends.to_begin) {}
  bool left(const PartEnds& ends) const { return a < ends.from_end && ends.to_begin < ends.to_end; }
  void advance(const PartEnds& ends, int32_t count) {
    b += count;
    if (b == ends.to_end) ++a, b = ends.to_begin;
  }
};

// Reads the maps of the next part type while the pairs of this one are worked on: marks them, or reads the cells of the
// first samples of its pairs into the cache.
template <bool kField>
class Ahead {
 public:
  SP_VECTOR Ahead(const Part& part, const Part* next, MatchScratch& scratch)
      : next_(next ? next : &part),
        scratch_(&scratch),
        marker_(*next_, scratch.marks),
        marks_(next != nullptr && next->crowded()) {
    if (next == nullptr || marks_ || next->ends.pairs() > kMostPairs) return;
    next->ends.pairs() <= kFewPairs ? list_samples() : list_first_look();
  }

  // A part of the work, beside that for one vector of pairs.
  SP_VECTOR SP_INLINE void step() {
    if (marks_) {
      if (marker_.left()) marker_.step();
    } else {
      prefetch(kCells);
    }
  }

  // The rest of the work.
  SP_VECTOR void finish() {
    if (marks_) {
      marker_.finish();
    } else {
      prefetch(count_);
    }
    scratch_->marked = marks_;
  }

 private:
  static constexpr int kCells = kField ? 4 : 8;  // cells of a step
  static constexpr int kMostLooks = 4;
  static constexpr int64_t kMostPairs = 4096;

  // All samples of the pairs, up to kLanes.
  SP_VECTOR void list_samples() {
    const Part& part = *next_;
    const Peaks& peaks = *part.peaks;
    const int count = std::min(part.samples, kLanes);
    int32_t* out = make_room(part.ends.pairs() * count);
    for (int32_t a = part.ends.from_begin; a < part.ends.from_end; ++a) {
      for (int32_t b = part.ends.to_begin; b < part.ends.to_end; ++b, out += count) {
        const Lines line = lines_between(splat(peaks.x[a]), splat(peaks.y[a]), splat(peaks.x[b]), splat(peaks.y[b]));
        store(out, cell_of(part, locate(part, line, load(part.positions))));
      }
    }
  }

  // The samples of the pairs that the first look takes.
  SP_VECTOR void list_first_look() {
    const Part& part = *next_;
    const Peaks& peaks = *part.peaks;
    const int looks = std::min(part.failures(), kMostLooks);
    int32_t* out = make_room(part.ends.pairs() * looks);
    for (int32_t a = part.ends.from_begin; a < part.ends.from_end; ++a) {
      for (int32_t b = part.ends.to_begin; b < part.ends.to_end; b += kLanes) {
        const int count = std::min(part.ends.to_end - b, kLanes);
        const Lines lines = lines_between(splat(peaks.x[a]), splat(peaks.y[a]), load_first(peaks.x.data() + b, count),
                                          load_first(peaks.y.data() + b, count));
        for (int look = 0; look < looks; ++look, out += count)
          store(out, cell_of(part, locate(part, lines, splat(part.positions[part.middle_out[look]]))));
      }
    }
  }

  // Vectors are stored in full, beyond the last cell.
  int32_t* make_room(int64_t count) {
    count_ = static_cast<int>(count);
    scratch_->cells.resize(count + kLanes);
    return scratch_->cells.data();
  }

  SP_VECTOR SP_INLINE void prefetch(int count) {
    const int32_t* cells = scratch_->cells.data();
    const int end = std::min(done_ + count, count_);
    for (; done_ < end; ++done_) {
      prefetch_rows(next_->map + cells[done_]);
      if (kField) prefetch_rows(next_->y_map + cells[done_]);
    }
  }
  SP_VECTOR SP_INLINE void prefetch_rows(const float* cell) const {
    _mm_prefetch(reinterpret_cast<const char*>(cell), _MM_HINT_T0);
    _mm_prefetch(reinterpret_cast<const char*>(cell + next_->width), _MM_HINT_T0);
  }

  const Part* next_;
  MatchScratch* scratch_;
  Marker<kField> marker_;
  bool marks_;
  int count_ = 0, done_ = 0;  // of scratch.cells
};

SP_VECTOR SP_INLINE Lines load_lines(const PairBatch& batch, int at) {
  return lines_between(load(batch.ax + at), load(batch.ay + at), load(batch.bx + at), load(batch.by + at));
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

// Adds 1 to the counts of the samples that exceed the threshold.
template <bool kField>
struct SampledLook {
  SP_VECTOR SP_INLINE void aim(Lines& lines) const { simplepose::aim<kField>(lines); }
  SP_VECTOR SP_INLINE Ints operator()(Ints counts, const Part& part, const Lines& lines, const Places& at) const {
    return count_above(counts, sample<kField>(part, lines, at), splat(part.threshold));
  }
  SP_VECTOR SP_INLINE unsigned always(const Lines&) const { return 0; }
};

// Counts the samples [begin, end), from the middle outwards, and drops the pairs that cannot have enough samples, even
// if all that follow are counted.
template <bool kField, typename Look>
SP_VECTOR SP_INLINE void drop_pairs(const Part& part, int begin, int end, const Look& look, Ahead<kField>& ahead,
                                    PairBatch& batch) {
  const Ints too_few = splat(part.needed - (part.samples - end) - 1);
  int kept = 0;
  for (int done = 0; done < batch.count; done += kLanes) {
    Lines lines = load_lines(batch, done);
    Ints counts = load(batch.counted + done);
    ahead.step();
    look.aim(lines);
    for (int i = begin; i < end; ++i)
      counts = look(counts, part, lines, locate(part, lines, splat(part.positions[part.middle_out[i]])));
    const unsigned lanes = (above(counts, too_few) | look.always(lines)) & lanes_left(batch, done);
    kept = keep(batch, kept, done, lines, counts, lanes);
  }
  batch.count = kept;
}

// Samples one pair, kLanes of its samples at a time, and appends it if enough of them exceed the threshold.
template <bool kField>
SP_VECTOR SP_INLINE void sample_pair(const Part& part, int32_t a, int32_t b, int32_t pair, AcceptedPairs& accepted) {
  const Peaks& peaks = *part.peaks;
  Lines line = lines_between(splat(peaks.x[a]), splat(peaks.y[a]), splat(peaks.x[b]), splat(peaks.y[b]));
  aim<kField>(line);
  float values[kMaxSamples];
  int count = 0;
  for (int k = 0; k < part.samples; k += kLanes) {
    const Floats value = sample<kField>(part, line, locate(part, line, load(part.positions + k)));
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
template <bool kField>
SP_VECTOR void sample_pairs(const Part& part, const PairBatch& batch, Ahead<kField>& ahead, AcceptedPairs& accepted) {
  const Floats threshold = splat(part.threshold), samples = splat(static_cast<float>(part.samples));
  size_t kept = accepted.pair.size();
  accepted.pair.resize(kept + batch.count + kLanes), accepted.response.resize(kept + batch.count + kLanes);
  int done = 0;
  for (; done + kFewPairs < batch.count; done += kLanes) {
    Lines lines = load_lines(batch, done);
    aim<kField>(lines);
    Floats total = splat(0.0f);
    Ints count = splat(0);
    for (int k = 0; k < part.samples; ++k) {
      const Floats value = sample<kField>(part, lines, locate(part, lines, splat(part.positions[k])));
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
    ahead.step();
    sample_pair<kField>(part, part.ends.from_begin + from, part.ends.to_begin + to, pair, accepted);
  }
}

// Appends pairs to the batch until it is full.
SP_VECTOR void fill_batch(const Part& part, PairCursor& at, PairBatch& batch) {
  const PartEnds& ends = part.ends;
  const float *x = part.peaks->x.data(), *y = part.peaks->y.data();
  batch.count = 0;
  while (at.left(ends) && batch.count < PairBatch::kMost) {
    const int32_t count = std::min(ends.to_end - at.b, PairBatch::kMost - batch.count);
    const Floats ax = splat(x[at.a]), ay = splat(y[at.a]);
    const int32_t first = (at.a - ends.from_begin) * ends.to_count() + (at.b - ends.to_begin);
    for (int32_t i = 0; i < count; i += kLanes) {
      const int32_t to = batch.count + i;
      store(batch.ax + to, ax), store(batch.ay + to, ay);
      store(batch.bx + to, load_first(x + at.b + i, count - i)),
          store(batch.by + to, load_first(y + at.b + i, count - i));
      store(batch.pair + to, add(ramp(), splat(first + i)));
      store(batch.counted + to, splat(0));
    }
    batch.count += count;
    at.advance(ends, count);
  }
  // The lanes beyond the end repeat a pair, so that they read no other cells.
  for (auto* column : {batch.ax, batch.ay, batch.bx, batch.by})
    std::fill_n(column + batch.count, kLanes - 1, column[0]);
}

template <bool kField>
SP_VECTOR void match_pairs(const Part& part, const Part* next, MatchScratch& scratch) {
  const PartEnds& ends = part.ends;
  BlockMarks marks;
  if (part.crowded()) {
    if (!scratch.marked) Marker<kField>(part, scratch.marks).finish();
    marks = scratch.marks;
  }
  Ahead<kField> ahead(part, next, scratch);
  PairCursor at(ends);
  if (ends.pairs() <= kFewPairs) {
    for (int32_t pair = 0; at.left(ends); ++pair) {
      ahead.step();
      sample_pair<kField>(part, at.a, at.b, pair, scratch.accepted);
      at.advance(ends, 1);
    }
  } else if (!part.crowded()) {
    while (at.left(ends)) {
      fill_batch(part, at, scratch.batch);
      drop_pairs(part, 0, part.failures(), SampledLook<kField>(), ahead, scratch.batch);
      sample_pairs(part, scratch.batch, ahead, scratch.accepted);
    }
  } else {
    const MarkedLook<kField> look(marks);
    const int failures = part.failures(), middle = std::min(2 * failures, part.samples);
    while (at.left(ends)) {
      fill_batch(part, at, scratch.batch);
      drop_pairs(part, 0, failures, look, ahead, scratch.batch);
      drop_pairs(part, failures, middle, look, ahead, scratch.batch);
      drop_pairs(part, middle, part.samples, look, ahead, scratch.batch);
      sample_pairs(part, scratch.batch, ahead, scratch.accepted);
    }
  }
  ahead.finish();
}

SP_VECTOR SP_INLINE void match_part(const Part& part, const Part* next, MatchScratch& scratch) {
  part.field() ? match_pairs<true>(part, next, scratch) : match_pairs<false>(part, next, scratch);
}

}  // namespace
}  // namespace simplepose
