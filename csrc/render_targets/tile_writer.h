// The code with which a block of the kernels of render_targets writes its finished tile: each cell of all scales once,
// and four cells of scale 0 at a time if the rows allow it.
#pragma once

#include <vector>

#include "common/half.h"
#include "common/limits.h"
#include "cuda/integers.h"
#include "cuda/kernel.h"
#include "cuda/warp.h"

namespace simplepose {

constexpr int kTile = 64;               // cells per side
constexpr int kTilePitch = kTile + 12;  // few of the cells that a warp draws at once are in the same bank
constexpr int kTileThreads = 128;

static_assert(kTile >> (kMaxFusedScales - 1) == 1, "the last scale that a tile writes is one cell of it");

using Tile = Fixed<float, kTile * kTilePitch>;

SP_HD Group<float, 4>& four_cells(Tile& tile, int cell) {
  (void)tile[cell + 3];
  check_aligned(&tile[cell], sizeof(Group<float, 4>));
  return *reinterpret_cast<Group<float, 4>*>(&tile[cell]);
}

// a and b are the upper row.
SP_HD float mean_of_four(float a, float b, float c, float d) { return ((a + b) + (c + d)) * 0.25f; }

// The tile of a map; the map may end inside it.
struct TilePlace {
  unsigned plane;  // image * channels + channel
  int x, y;        // the first cell of scale 0
};

template <typename Out>
struct TileWriter {
  static constexpr int kSquares = kTile / 4;  // squares of 4 x 4 cells along a side of the tile
  static constexpr int kWarpScale = 4;        // the last scale of which a warp has whole cells
  static constexpr int kCoarse = kTile >> kWarpScale;

  // The values that the threads of a warp exchange.
  using Slots = Fixed<float, kTileThreads>;
  // The cells of kWarpScale, then those of the scale after it.
  using Coarse = Fixed<float, kCoarse * kCoarse * 5 / 4>;

  Fixed<Span<Out>, kMaxFusedScales> maps;
  int height, width, scales;
  bool in_fours;  // whether rows consist of whole groups of four cells that one access can write

  static TileWriter make(const std::vector<Out*>& maps, int64_t planes, int height, int width) {
    TileWriter writer{};
    writer.height = height, writer.width = width;
    writer.scales = static_cast<int>(maps.size()) < kMaxFusedScales ? static_cast<int>(maps.size()) : kMaxFusedScales;
    writer.in_fours = width % 4 == 0;
    for (int scale = 0; scale < writer.scales; ++scale) {
      Out* const data = maps[scale];
      writer.maps[scale] = {data, planes * (height >> scale) * (width >> scale)};
      writer.in_fours &= reinterpret_cast<uintptr_t>(data) % sizeof(Group<Out, 4>) == 0;
    }
    return writer;
  }

  // Without kDrawn, zeros are written and the tile is not read. All threads of a block must call it.
  template <bool kDrawn>
  SP_HD void write(const TilePlace& place, int thread, Tile& tile, Slots& slots, Coarse& coarse) const {
    if (in_fours)
      write_own<kDrawn, true>(place, thread, tile, slots, coarse);
    else
      write_own<kDrawn, false>(place, thread, tile, slots, coarse);
  }

  // The scales of which a warp has no whole cell, one after the other: 2 x 2 cells and 1 cell.
  SP_HD void write_coarse(const TilePlace& place, int scale, int thread, Coarse& coarse) const {
    const int side = kTile >> scale, column = thread & (side - 1), pitch = 2 * side;
    const int row = thread >> (kMaxFusedScales - 1 - scale);
    if (row >= side) return;
    const int upper = (scale == kWarpScale + 1 ? 0 : kCoarse * kCoarse) + 2 * row * pitch + 2 * column;
    const int lower = upper + pitch;
    const float mean = mean_of_four(coarse[upper], coarse[upper + 1], coarse[lower], coarse[lower + 1]);
    store<false>(window(place, scale, row, column), 0, Group<float, 1>{{mean}});
    if (scale == kWarpScale + 1) coarse[kCoarse * kCoarse + thread] = mean;
  }

 private:
  // A region of a map, from one of its cells on.
  struct Window {
    Span<Out> map;
    int first, pitch;   // index of that cell; distance between rows
    int rows, columns;  // that remain; 0 outside the map
  };

  SP_HD Window window(const TilePlace& place, int scale, int row, int column) const {
    const int rows = height >> scale, columns = width >> scale, size = rows * columns;
    const int y = (place.y >> scale) + row, x = (place.x >> scale) + column;
    const int64_t first = uint64_t{place.plane} * static_cast<unsigned>(size);
    const Span<Out> map(opaque(maps.elements[scale].at(first, size)), size);
    return {map, y * columns + x, columns, x < columns ? rows - y : 0, columns - x};
  }

  template <bool kFours, int kCount>
  SP_HD static void store(const Window& to, int row, const Group<float, kCount>& values) {
    if (row >= to.rows) return;
    Group<Out, kCount> rounded;
    SP_UNROLL
    for (int i = 0; i + 1 < kCount; i += 2) round_two(values.cells[i], values.cells[i + 1], &rounded.cells[i]);
    if constexpr (kCount == 1) round_to(values.cells[0], &rounded.cells[0]);
    if constexpr (kFours) {
      Out* const address = to.map.at(to.first + row * to.pitch, kCount);
      check_aligned(address, sizeof rounded);
      *reinterpret_cast<Group<Out, kCount>*>(address) = rounded;
    } else {
      SP_UNROLL
      for (int i = 0; i < kCount; ++i)
        if (i < to.columns) to.map[to.first + row * to.pitch + i] = rounded.cells[i];
    }
  }

  // The scales of which a thread has whole cells. A thread has two squares of 4 x 4 cells; a warp has two rows of 16
  // squares, then the two rows below.
  template <bool kDrawn, bool kFours>
  SP_HD void write_own(const TilePlace& place, int thread, Tile& tile, Slots& slots, Coarse& coarse) const {
    const int warp = thread / 32, lane = thread % 32, column = lane % kSquares, row = 4 * warp + lane / kSquares;
    const Window full = window(place, 0, 4 * row, 4 * column);
    Group<float, 2> halves[4] = {};
    SP_UNROLL
    for (int square = 0; square < 2; ++square) {
      Group<float, 4> cells[4] = {};
      SP_UNROLL
      for (int k = 0; k < 4; ++k) {
        if constexpr (kDrawn) cells[k] = four_cells(tile, (4 * row + 8 * square + k) * kTilePitch + 4 * column);
        store<kFours>(full, 8 * square + k, cells[k]);
      }
      if (!kDrawn || scales < 2) continue;
      halves[2 * square] = averages(cells[0], cells[1]);
      halves[2 * square + 1] = averages(cells[2], cells[3]);
    }
    if (scales < 2) return;
    const Window halved = window(place, 1, 2 * row, 2 * column);
    SP_UNROLL
    for (int k = 0; k < 4; ++k) store<kFours>(halved, 4 * (k / 2) + k % 2, halves[k]);
    if (scales < 3) return;
    float quarters[2] = {};
    const Window quartered = window(place, 2, row, column);
    SP_UNROLL
    for (int k = 0; k < 2; ++k) {
      if constexpr (kDrawn) quarters[k] = average(halves[2 * k], halves[2 * k + 1]);
      store<kFours>(quartered, 2 * k, Group<float, 1>{{quarters[k]}});
    }
    if (scales > 3) write_shared<kDrawn, kFours>(place, thread, quarters, tile, slots, coarse);
  }

  // The next two scales. A cell needs values of several threads of a warp. All of them compute it, and one writes it.
  template <bool kDrawn, bool kFours>
  SP_HD void write_shared(const TilePlace& place, int thread, const float (&quarters)[2], Tile& tile, Slots& slots,
                          Coarse& coarse) const {
    const int warp = thread / 32, lane = thread % 32, column = lane % kSquares;
    float* const shown = &slots[32 * warp];
    const bool upper = lane < kSquares;
    float eighths[2] = {}, beside[2] = {};
    const Window eighthed = window(place, 3, 2 * warp, column / 2);
    SP_UNROLL
    for (int k = 0; k < 2; ++k) {
      if constexpr (kDrawn) {
        const auto quarter = [&](int from) {
          return pooled<2>(tile, 4 * warp + 2 * k + from / kSquares, from % kSquares);
        };
        const WarpValues cells(shown, lane, quarters[k], quarter);
        const int left = column - column % 2, below = left + kSquares;
        eighths[k] = mean_of_four(cells[left], cells[left + 1], cells[below], cells[below + 1]);
      }
      if (upper && column % 2 == 0) store<kFours>(eighthed, k, Group<float, 1>{{eighths[k]}});
    }
    if (scales < 5) return;
    SP_UNROLL
    for (int k = 0; k < 2; ++k) {
      if constexpr (kDrawn) {
        const auto eighth = [&](int from) { return pooled<3>(tile, 2 * warp + k, from % kSquares / 2); };
        const WarpValues cells(shown, lane, eighths[k], eighth);
        beside[k] = cells[lane ^ 2];
      }
    }
    if (!upper || column % 4 != 0) return;
    const float mean = mean_of_four(eighths[0], beside[0], eighths[1], beside[1]);
    store<kFours>(window(place, kWarpScale, warp, column / 4), 0, Group<float, 1>{{mean}});
    if (scales > 5) coarse[warp * kCoarse + column / 4] = mean;
  }

  SP_HD static float average(const Group<float, 2>& upper, const Group<float, 2>& lower) {
    return mean_of_four(upper.cells[0], upper.cells[1], lower.cells[0], lower.cells[1]);
  }

  SP_HD static Group<float, 2> averages(const Group<float, 4>& upper, const Group<float, 4>& lower) {
    return {{mean_of_four(upper.cells[0], upper.cells[1], lower.cells[0], lower.cells[1]),
             mean_of_four(upper.cells[2], upper.cells[3], lower.cells[2], lower.cells[3])}};
  }

  // The value of a cell of a scale, computed from the tile.
  template <int kScale>
  SP_HD static float pooled(Tile& tile, int y, int x) {
    if constexpr (kScale == 0) {
      return tile[y * kTilePitch + x];
    } else {
      return mean_of_four(pooled<kScale - 1>(tile, 2 * y, 2 * x), pooled<kScale - 1>(tile, 2 * y, 2 * x + 1),
                          pooled<kScale - 1>(tile, 2 * y + 1, 2 * x), pooled<kScale - 1>(tile, 2 * y + 1, 2 * x + 1));
    }
  }
};

// 2 x 2 average pool of whole maps, for scales of which a tile has no whole cell.
struct PoolKernel {
  static constexpr int kThreads = 256, kMinBlocks = 4;
  struct Shared {
    char nothing;
  };
  struct Local {};

  Span<const float> fine;
  Span<float> coarse;
  int width;  // of the coarse maps

  int64_t blocks() const { return (coarse.size() + kThreads - 1) / kThreads; }
  int64_t dynamic_bytes() const { return 0; }

  template <typename Block>
  SP_HD void run(Block& block) const {
    block.each([&](int thread, Local&, Shared&) {
      const int64_t cell = block.index() * kThreads + thread;
      if (cell >= coarse.size()) return;
      const int64_t upper = cell / width * width * 4 + cell % width * 2, lower = upper + 2 * width;
      coarse[cell] = mean_of_four(fine[upper], fine[upper + 1], fine[lower], fine[lower + 1]);
    });
  }
};

}  // namespace simplepose
