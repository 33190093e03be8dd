// A batch of maps in the layout of the network's output, and the view of one map that the kernels read. The view
// converts the element type, cuts the map to the image, and averages it with the map of the mirrored image.
#pragma once

#include "common/half.h"
#include "cuda/integers.h"
#include "cuda/kernel.h"
#include "cuda/warp.h"

namespace simplepose {

// One map of less than 2^31 cells. Its cells [height, width] show the image; its rows in memory have `columns` cells.
// With kFlip it is the mean of `plain` and `mirrored`, the map of the mirrored image with its sides exchanged.
template <typename Value, bool kFlip>
struct MapView {
  static constexpr int kLanes = Vector<Value>::kLanes;

  Span<const Value> plain, mirrored;
  int height, width, columns;
  Divisor by_row;  // the cells of a row in whole vectors: `columns` rounded up to a multiple of kLanes
  bool aligned;    // whether every row begins at a multiple of 16 bytes

  // The loaded elements of kLanes cells of a row.
  struct Raw {
    Vector<Value> plain, mirrored;
  };

  SP_HD float operator()(int y, int x) const {
    const int row = y * columns;
    const float value = to_float(plain[row + x]);
    if constexpr (kFlip) return average(value, to_float(mirrored[row + columns - 1 - x]));
    return value;
  }

  SP_HD int vectors() const { return height * (static_cast<int>(by_row.divisor) / kLanes); }
  SP_HD int row_of(int cell) const { return by_row.quotient(cell); }
  SP_HD int column_of(int cell, int row) const { return cell - row * static_cast<int>(by_row.divisor); }

  // kLanes cells from `cell` on, in rows of whole vectors; cells right of the image are undefined. kAligned: `aligned`
  // is known to be set.
  template <bool kAligned>
  SP_HD Raw load(int cell) const {
    Raw raw;
    if (kAligned || aligned) {
      raw.plain = load_vector(plain, cell);
      if constexpr (kFlip) {
        const int y = row_of(cell);
        raw.mirrored = load_vector(mirrored, (y + 1) * columns - kLanes - column_of(cell, y));
      }
    } else {
      const int y = row_of(cell), x = column_of(cell, y), row = y * columns;
      for (int lane = 0; lane < kLanes; ++lane) {
        const int u = x + lane < width ? x + lane : width - 1;
        raw.plain.lanes[lane] = plain[row + u];
        if constexpr (kFlip) raw.mirrored.lanes[kLanes - 1 - lane] = mirrored[row + columns - 1 - u];
      }
    }
    return raw;
  }

  SP_HD static float lane(const Raw& raw, int index) {
    const float value = to_float(raw.plain.lanes[index]);
    if constexpr (kFlip) return average(value, to_float(raw.mirrored.lanes[kLanes - 1 - index]));
    return value;
  }

 private:
  SP_HD static float average(float a, float b) { return (a + b) * 0.5f; }
};

// Maps [images, channels, rows, columns]; with kFlip, as many maps of the mirrored images follow.
template <typename Value, bool kFlip>
struct MapBatch {
  using Element = Value;
  static constexpr bool kMirrored = kFlip;

  Span<const Value> cells;
  Span<const int32_t> sizes;   // [images, 2] height and width that show the image; empty: the whole map
  Span<const int32_t> mirror;  // [channels] with kFlip: the corresponding channel of the mirrored image
  int64_t images;
  int channels, rows, columns;
  Divisor by_row;
  bool aligned;

  SP_HD MapView<Value, kFlip> view(int64_t image, int channel) const {
    const int64_t plane = int64_t{rows} * columns;
    MapView<Value, kFlip> map;
    map.plain = {opaque(cells.at((image * channels + channel) * plane, plane)), plane};
    if constexpr (kFlip)
      map.mirrored = {opaque(cells.at(((images + image) * channels + mirror[channel]) * plane, plane)), plane};
    map.height = sizes.size() ? sizes[2 * image] : rows;
    map.width = sizes.size() ? sizes[2 * image + 1] : columns;
    map.columns = columns;
    map.by_row = by_row;
    map.aligned = aligned;
    return map;
  }
};

}  // namespace simplepose
