// The input of match_parts for one part type of one image, shared by the generic and the vector code.
#pragma once

#include <cmath>

#include "match_parts/match_parts.h"

namespace simplepose {

// The direction of a pair of peaks: a unit vector, or (0, 0) where the peaks coincide.
struct Direction {
  float x, y;
};

// One part type of one image.
struct Part {
  // The vector code makes a pass over a map that has at most so many cells for each pair.
  static constexpr int64_t kCellsPerPair = 256, kFieldCellsPerPair = 100;
  static constexpr int kMostColumns = 4096;

  const float* map = nullptr;
  const float* y_map = nullptr;  // affinity fields: the map of y; `map` is that of x
  int height = 0, width = 0;
  const Peaks* peaks = nullptr;
  PartEnds ends{};
  int samples = 0, needed = 0;  // of a pair: number of samples, and how many must exceed the threshold
  float threshold = 0.0f;
  const float* positions = nullptr;  // [kMaxSamples] k / (samples - 1); 0 from `samples` on
  const int* middle_out = nullptr;   // [samples] sample indices from the middle outwards

  bool field() const { return y_map != nullptr; }
  float last_x() const { return static_cast<float>(width - 1); }
  float last_y() const { return static_cast<float>(height - 1); }
  // A pair fails once this many samples do not exceed the threshold.
  int failures() const { return samples - needed + 1; }
  // On such maps bilinear() reads a cell twice, which the vector code does not support.
  bool narrow() const { return width < 2 || height < 2; }

  // Whether the vector code first makes a pass over the maps. For affinity fields, the square of the threshold must be
  // a normal number.
  bool crowded() const {
    const int64_t covered = ends.pairs() * (field() ? kFieldCellsPerPair : kCellsPerPair);
    if (field() && !(threshold >= 1e-15f && threshold <= 1e15f)) return false;
    return covered >= int64_t{width} * height && width <= kMostColumns;
  }

  // The distance between peaks a and b, and the direction from a to b.
  float length(int32_t a, int32_t b) const {
    const float dx = peaks->x[b] - peaks->x[a], dy = peaks->y[b] - peaks->y[a];
    return std::sqrt(dx * dx + dy * dy);
  }
  Direction direction(int32_t a, int32_t b) const {
    const float distance = length(a, b);
    if (!(distance > 0.0f)) return {0.0f, 0.0f};
    return {(peaks->x[b] - peaks->x[a]) / distance, (peaks->y[b] - peaks->y[a]) / distance};
  }

  // The sample at (x, y): the map there, or the component of the affinity field along the pair.
  float value(float x, float y, Direction along) const {
    const float first = bilinear(PlainMap{map, width}, height, width, x, y);
    if (!field()) return first;
    return first * along.x + bilinear(PlainMap{y_map, width}, height, width, x, y) * along.y;
  }

  // Sample k of the line from peak a to peak b.
  float sample(int32_t a, int32_t b, int k, Direction along) const {
    const float x = sample_position(peaks->x[a], peaks->x[b], positions[k], last_x());
    const float y = sample_position(peaks->y[a], peaks->y[b], positions[k], last_y());
    return value(x, y, along);
  }
};

// Fills scratch.accepted with the pairs of which enough samples exceed the threshold, in (from-peak, to-peak) order.
// `next` is the part type of the next call, or null: its maps are read ahead. The vector code is not for maps that are
// narrow().
void match_part_avx2(const Part& part, const Part* next, MatchScratch& scratch);
void match_part_avx512(const Part& part, const Part* next, MatchScratch& scratch);

}  // namespace simplepose
