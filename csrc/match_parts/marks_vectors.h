// A pass over the maps of a part type that marks the blocks of cells in which a sample can exceed the threshold.
//
// Nearly all pairs of a crowded image connect two people, and most of their samples lie where the part map is low. A
// pair is dropped if so many of its samples lie in blocks without a mark that the remaining ones cannot be enough.
//
// Lemma. Let T be the threshold and m = T less 1e-6 of it. If the magnitudes of the four cells that bilinear() reads
// are at most m, the sample does not exceed T.
//
// Proof. bilinear() computes a + f (b - a) with 0 <= f <= 1 twice in sequence. With u = 2^-24, the difference and the
// product of magnitudes up to 2 m are each off by at most 2 m u, the sum by m u. So a result is at most m (1 + 5 u)
// after one step and m (1 + 10 u) after two, up to terms of u^2. 10 u is 6e-7; m itself is off by at most 6e-8 of it.
//
// Lemma for affinity fields. Let m = T less 4e-6 of it. If the squared lengths of the vectors in the four cells, in
// float32, are at most m^2 in float32, the sample does not exceed T.
//
// Proof. The lengths are at most m (1 + 2 u), and so is that of the exact interpolated vector. Each component is off by
// at most 10 m u (above), so the computed vector is at most m (1 + 17 u) long. The direction is at most 1 + 4 u long:
// three roundings of the squared length, halved by the root, one of the root and one of the division. The sum of two
// products is off by 4 u of the product of the lengths. So a sample is at most m (1 + 25 u), and 25 u is 1.5e-6. The
// direction is less exact if squares are denormal: pairs below 1e-15 cells are not dropped. The squares of m are
// normal by Part::crowded().
//
// The marks therefore depend on magnitudes: cells with large negative values are marked, because rounding beside them
// may lift a sample above the threshold. NaN and infinity, which read as 0, are marked too. Marks can only be too many.
// No sample of a dropped pair that lies in an unmarked block exceeds the threshold, so the pair would also have failed
// in full. The accepted pairs and their responses are those of the generic code to the last bit.
#pragma once

#include <algorithm>

#include "match_parts/lines_vectors.h"

namespace simplepose {
namespace {

// Marks the blocks of a part type, one row of blocks at a time.
template <bool kField>
class Marker {
 public:
  Marker(const Part& part, BlockMarks& marks) : part_(&part), words_((part.width + 63) / 64), out_(marks.words) {
    marks.shift_x = marks.shift_y = 0;
    while ((part.width - 1) >> marks.shift_x >= 64) ++marks.shift_x;
    while ((part.height - 1) >> marks.shift_y >= 64) ++marks.shift_y;
    shift_x_ = marks.shift_x, rows_ = 1 << marks.shift_y;
  }

  bool left() const { return y_ < part_->height; }

  // Marks the next row of blocks.
  SP_VECTOR void step() {
    uint64_t cells[Part::kMostColumns / 64];
    if (y_ == 0)
      mark_row<false>(0, cells);
    else
      std::copy_n(first_, words_, cells);
    // The first row of the next blocks is also read by samples of these.
    const int next = y_ + rows_, last = std::min(next, part_->height - 1);
    for (int y = y_ + 1; y <= last; ++y) mark_row<true>(y, cells);
    uint64_t bits = 0, right = 0;
    for (int word = words_ - 1; word >= 0; --word) {
      // A sample also reads the cell to the right.
      uint64_t samples = cells[word] | cells[word] >> 1 | right << 63;
      right = cells[word];
      for (int halving = 0; halving < shift_x_; ++halving) samples = even_bits(samples | samples >> 1);
      bits |= samples << (word * 64 >> shift_x_);
    }
    *out_++ = static_cast<uint32_t>(bits), *out_++ = static_cast<uint32_t>(bits >> 32);
    y_ = next;
  }

  // Marks the blocks that are left.
  SP_VECTOR void finish() {
    while (left()) step();
  }

 private:
  // Marks the cells of a row in `first_`, and in `cells` beside those that are marked there.
  template <bool kBeside>
  SP_VECTOR SP_INLINE void mark_row(int y, uint64_t* cells) {
    for (int word = 0; word < words_; ++word) {
      const uint64_t marks = mark_cells(y, 64 * word);
      first_[word] = marks;
      cells[word] = kBeside ? cells[word] | marks : marks;
    }
  }

  // One bit for each of the cells x to x + 63 of a row.
  SP_VECTOR SP_INLINE uint64_t mark_cells(int y, int x) const {
    const int64_t cell = int64_t{y} * part_->width + x;
    const int count = part_->width - x;
    if (count >= 64) {
      for (int i = 0; i < 64; i += 16) {
        _mm_prefetch(reinterpret_cast<const char*>(part_->map + cell + i + kDistance), _MM_HINT_T0);
        if (kField) _mm_prefetch(reinterpret_cast<const char*>(part_->y_map + cell + i + kDistance), _MM_HINT_T0);
      }
      return mask_of_64([this, cell](int i) SP_VECTOR { return marked(cell + i, kLanes); });
    }
    uint64_t word = 0;
    for (int i = 0; i < count; i += kLanes) word |= uint64_t{marked(cell + i, count - i)} << i;
    return word;
  }

  // One bit for each of kLanes cells, of which the first `count` exist.
  SP_VECTOR SP_INLINE unsigned marked(int64_t cell, int count) const {
    const auto cells = [cell, count](const float* map)
                           SP_VECTOR { return count < kLanes ? load_first(map + cell, count) : load(map + cell); };
    if (kField) {
      const float m = part_->threshold - 4e-6f * part_->threshold;
      const Floats x = cells(part_->map), y = cells(part_->y_map);
      return not_at_most(x * x + y * y, splat(m * m));
    }
    const float m = part_->threshold - 1e-6f * part_->threshold;
    return above(magnitude_bits(cells(part_->map)), splat(float_bits(m)));
  }

  static constexpr int kDistance = kField ? kPrefetch / 2 : kPrefetch;  // cells that are prefetched ahead
  const Part* part_;
  int words_, shift_x_, rows_, y_ = 0;
  uint32_t* out_;
  uint64_t first_[Part::kMostColumns / 64];  // the marks of the cells in row y_ if y_ > 0
};

// Adds 1 to the counts of the samples that lie in marked blocks.
template <bool kField>
class MarkedLook {
 public:
  SP_VECTOR SP_INLINE explicit MarkedLook(const BlockMarks& marks)
      : table_(marks.words), shift_x_(marks.shift_x), shift_y_(marks.shift_y) {}
  SP_VECTOR SP_INLINE void aim(Lines&) const {}
  SP_VECTOR SP_INLINE Ints operator()(Ints counts, const Part&, const Lines&, const Places& at) const {
    return add(counts, table_.bits(shift_right(at.x0, shift_x_), shift_right(at.y0, shift_y_)));
  }
  // The pairs that must not be dropped.
  SP_VECTOR SP_INLINE unsigned always(const Lines& lines) const {
    if (!kField) return 0;
    const Floats dx = lines.bx - lines.ax, dy = lines.by - lines.ay;
    return above(splat(1e-30f), dx * dx + dy * dy);
  }

 private:
  BitTable table_;
  int shift_x_, shift_y_;
};

}  // namespace
}  // namespace simplepose
