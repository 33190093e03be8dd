// The input of match_parts for one part type of one image, shared by the generic and the vector code.
#pragma once

#include "match_parts/match_parts.h"

namespace simplepose {

// One part type of one image.
struct Part {
  static constexpr int64_t kCellsPerPair = 256;
  static constexpr int kMostColumns = 4096;

  const float* map = nullptr;
  const float* next_map = nullptr;  // that of the next part type if the vector code will read all of it
  int height = 0, width = 0;
  const Peaks* peaks = nullptr;
  PartEnds ends{};
  int samples = 0, needed = 0;  // of a pair: number of samples, and how many must exceed the threshold
  float threshold = 0.0f;
  const float* positions = nullptr;  // [kMaxSamples] k / (samples - 1); 0 from `samples` on
  const int* middle_out = nullptr;   // [samples] sample indices from the middle outwards

  float last_x() const { return static_cast<float>(width - 1); }
  float last_y() const { return static_cast<float>(height - 1); }
  // A pair fails once this many samples do not exceed the threshold.
  int failures() const { return samples - needed + 1; }
  // On such maps bilinear() reads a cell twice, which the vector code does not support.
  bool narrow() const { return width < 2 || height < 2; }

  // Whether the vector code first makes a pass over the map, because a pair has at most kCellsPerPair cells of it.
  bool crowded(const PartEnds& of) const {
    return of.pairs() * kCellsPerPair >= int64_t{width} * height && width <= kMostColumns;
  }

  // Sample k of the line from peak a to peak b.
  float sample(int32_t a, int32_t b, int k) const {
    const float x = sample_position(peaks->x[a], peaks->x[b], positions[k], last_x());
    const float y = sample_position(peaks->y[a], peaks->y[b], positions[k], last_y());
    return bilinear(PlainMap{map, width}, height, width, x, y);
  }
};

// Fills scratch.accepted with the pairs of which enough samples exceed the threshold, in (from-peak, to-peak) order.
// The vector code is not for maps that are narrow().
void match_part_avx2(const Part& part, MatchScratch& scratch);
void match_part_avx512(const Part& part, MatchScratch& scratch);

}  // namespace simplepose
