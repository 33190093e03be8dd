// The CUDA kernels of render_targets (csrc/cuda/kernel.h describes the form of a kernel).
//
// A block draws one tile of one channel in shared memory, and writes it and its pooled scales once. It takes the shapes
// of its channel (people, or all keypoints of all people for the envelope) 32 at a time. One thread per shape
// tests whether it reaches the tile. Then warps draw these shapes in parallel, and each cell of the tile keeps the
// larger value. A maximum does not depend on the order, so the bits equal those of the CPU code. The mean of the line
// shape depends on the order: for it, each thread sums its own cells in the order of the people. For a tile that no
// shape reaches, the block only stores zeros.
#pragma once

#include <algorithm>
#include <stdexcept>
#include <vector>

#include "render_targets/render_targets.h"
#include "render_targets/tile_writer.h"

namespace simplepose {

template <typename Out, bool kLine>
struct RenderKernel {
  static constexpr int kThreads = kTileThreads;
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
  static constexpr int kMinBlocks = kLine ? 1 : 3;  // limited by shared memory
#else
  static constexpr int kMinBlocks = kLine ? 5 : 9;  // 5 is limited by shared memory, 9 by registers
#endif
  static constexpr int kWarps = kThreads / 32;
  static constexpr int kChunk = 32;
  static constexpr int kSide = 16;  // of the squares in which keypoints are drawn: a warp computes 2 x 16 factors
  using Writer = TileWriter<Out>;

  enum class Kind { kPart, kKeypoint, kEnvelope };

  // The channel and tile of a block. It is small, because every thread stores it.
  struct Place {
    Kind kind;
    int channel, image;
    int x, y;  // the tile's first cell; the map may end inside the tile

    SP_HD CellRange columns() const { return {x, x + kTile - 1}; }
    SP_HD CellRange rows() const { return {y, y + kTile - 1}; }
  };

  // A shape that reaches the tile, clipped to it. Cells are counted from the first cell of the tile.
  struct alignas(16) Drawn {
    int32_t box;  // left, right, top and bottom cell, 6 bits each, and the shift
    float x, y;
    PartAxis axis;

    SP_HD int left() const { return box & 63; }
    SP_HD int right() const { return box >> 6 & 63; }
    SP_HD int top() const { return box >> 12 & 63; }
    SP_HD int bottom() const { return box >> 18 & 63; }
    // The columns that a warp covers when it draws a part, as a power of two: as many as the part has, 4 to 32.
    SP_HD int shift() const { return box >> 24; }

    SP_HD static int32_t packed(const Place& place, CellRange columns, CellRange rows) {
      const int width = columns.last - columns.first + 1;
      const int shift = width > 16 ? 5 : width > 8 ? 4 : width > 4 ? 3 : 2;
      return (columns.first - place.x) | (columns.last - place.x) << 6 | (rows.first - place.y) << 12 |
             (rows.last - place.y) << 18 | shift << 24;
    }
  };
  struct alignas(16) Shared {
    Tile tile;
    Fixed<Drawn, kChunk> shapes;
    Fixed<unsigned char, kChunk> reaches;
    Fixed<unsigned char, kChunk> listed;  // the shapes that reach the tile, in their order
    int count;                            // of the listed shapes
    alignas(16) typename Writer::Slots slots;
    typename Writer::Coarse coarse;
  };
  struct Local {};

  TargetArguments arguments;
  int people, channels;  // of each image
  Span<const float> keypoints;
  Span<const int32_t> parts;
  int64_t tiles;  // of a map
  Divisor by_tiles, by_images, by_columns;
  Writer writer;

  // `maps`: one per scale; PoolKernel renders those after the first kMaxFusedScales.
  static RenderKernel make(const TargetArguments& arguments, const std::vector<Out*>& maps) {
    const int64_t numbers = 3 * int64_t{arguments.keypoint_types};
    if (arguments.images * arguments.people > 0x7fffffff / std::max<int64_t>(numbers, 1))
      throw std::invalid_argument("render_targets: too many people for one launch");
    if ((int64_t{arguments.height} + kTile) * arguments.width > 0x7fffffff)
      throw std::invalid_argument("render_targets: maps too large for one launch");
    RenderKernel kernel{};
    kernel.arguments = arguments;
    kernel.keypoints = {arguments.keypoints, arguments.images * arguments.people * numbers};
    kernel.people = static_cast<int>(arguments.people);
    kernel.channels = arguments.channels();
    kernel.parts = {arguments.parts, int64_t{2} * arguments.part_types};
    const int64_t columns = (arguments.width + kTile - 1) / kTile, rows = (arguments.height + kTile - 1) / kTile;
    kernel.tiles = columns * rows;
    kernel.by_tiles = Divisor(kernel.tiles);
    kernel.by_images = Divisor(arguments.images);
    kernel.by_columns = Divisor(columns);
    kernel.writer = Writer::make(maps, arguments.images * arguments.channels(), arguments.height, arguments.width);
    return kernel;
  }

  int64_t blocks() const { return arguments.images * arguments.channels() * tiles; }

  // For every cell of the tile: the number of people whose box covers it.
  int64_t dynamic_bytes() const { return kLine ? kTile * kTilePitch * int64_t{sizeof(float)} : 0; }

  template <typename Block>
  SP_HD void run(Block& block) const {
    const Place place = place_of(static_cast<unsigned>(block.index()));
    const Span<float> boxes = block.template dynamic<float>(0, averaged(place) ? kTile * kTilePitch : 0);
    bool drawn = false;
    for (int first = 0; first < shape_count(place); first += kChunk) {
      const bool reached = block.any(
          [&](int thread, Local&, Shared& shared) { return find_shape(place, first + thread, thread, shared); });
      if (!reached) continue;
      block.each([&](int thread, Local&, Shared& shared) {
        if (!drawn) clear(thread, averaged(place), shared, boxes);
        list_shapes(thread, shared);
      });
      drawn = true;
      block.each([&](int thread, Local&, Shared& shared) {
        averaged(place) ? add_lines(place, thread, shared, boxes) : draw_shapes(place, thread, shared);
      });
    }
    if (averaged(place) && drawn)
      block.each([&](int thread, Local&, Shared& shared) { divide(thread, shared, boxes); });
    const TilePlace to{static_cast<unsigned>(place.image * channels + place.channel), place.x, place.y};
    block.each([&](int thread, Local&, Shared& shared) {
      drawn ? writer.template write<true>(to, thread, shared.tile, shared.slots, shared.coarse)
            : writer.template write<false>(to, thread, shared.tile, shared.slots, shared.coarse);
    });
    for (int scale = Writer::kWarpScale + 1; scale < writer.scales; ++scale)
      block.each([&](int thread, Local&, Shared& shared) { writer.write_coarse(to, scale, thread, shared.coarse); });
  }

  // The first blocks draw the last channel of every image: the envelope, if there is one, takes longest.
  SP_HD Place place_of(unsigned block) const {
    const unsigned plane = by_tiles.quotient(block), tile = by_tiles.rest(block, plane);
    const unsigned last = by_images.quotient(plane), image = by_images.rest(plane, last);
    const unsigned row = by_columns.quotient(tile), column = by_columns.rest(tile, row);
    const int channel = channels - 1 - static_cast<int>(last);
    const Kind kind = channel < arguments.part_types                              ? Kind::kPart
                      : channel < arguments.part_types + arguments.keypoint_types ? Kind::kKeypoint
                                                                                  : Kind::kEnvelope;
    return {kind, channel, static_cast<int>(image), static_cast<int>(column) * kTile, static_cast<int>(row) * kTile};
  }

  SP_HD int shape_count(const Place& place) const {
    return people * (place.kind == Kind::kEnvelope ? arguments.keypoint_types : 1);
  }

  SP_HD TargetRules rules() const {
    TargetRules rules = arguments.rules;
    rules.line = kLine;  // known to the compiler
    return rules;
  }

  // Whether the block draws a mean of lines.
  SP_HD bool averaged(const Place& place) const { return kLine && place.kind == Kind::kPart; }

  SP_HD bool shape_of(const Place& place, int index, TargetShape* shape) const {
    const int types = arguments.keypoint_types, image = place.image * people * types;
    if (place.kind == Kind::kPart) {
      const int person = image + index * types, from = parts[2 * place.channel], to = parts[2 * place.channel + 1];
      return part_shape(keypoints.at((person + from) * 3, 3), keypoints.at((person + to) * 3, 3), rules(),
                        arguments.height, arguments.width, shape);
    }
    const int point =
        image + (place.kind == Kind::kKeypoint ? index * types + place.channel - arguments.part_types : index);
    return keypoint_shape(keypoints.at(point * 3, 3), rules(), arguments.height, arguments.width, shape);
  }

  // Each thread tests one shape.
  SP_HD bool find_shape(const Place& place, int index, int thread, Shared& shared) const {
    if (thread >= kChunk) return false;
    TargetShape shape;
    bool reaches = index < shape_count(place) && shape_of(place, index, &shape);
    if (reaches) {
      const CellRange columns = shape.columns.cut(place.columns()), rows = shape.rows.cut(place.rows());
      reaches = !columns.empty() && !rows.empty();
      if (reaches) shared.shapes[thread] = {Drawn::packed(place, columns, rows), shape.x, shape.y, shape.axis};
    }
    shared.reaches[thread] = reaches;
    return reaches;
  }

  SP_HD static void list_shapes(int thread, Shared& shared) {
    if (thread >= kChunk) return;
    const unsigned bits = gather_bits(shared.reaches), own = 1u << thread;
    if ((bits & own) != 0) shared.listed[count_bits(bits & (own - 1))] = static_cast<unsigned char>(thread);
    if (thread == 0) shared.count = count_bits(bits);
  }

  SP_HD static void clear(int thread, bool averaged, Shared& shared, const Span<float>& boxes) {
    constexpr int kRow = kTile / 4, kRows = kThreads / kRow;
    SP_UNROLL
    for (int i = 0; i < kTile / kRows; ++i) {
      const int cell = (thread / kRow + i * kRows) * kTilePitch + thread % kRow * 4;
      four_cells(shared.tile, cell) = {};
      if (averaged)
        for (int k = 0; k < 4; ++k) boxes[cell + k] = 0.0f;
    }
  }

  // Each warp draws a shape. If there are few parts, which may be long, two or all warps share a part.
  SP_HD void draw_shapes(const Place& place, int thread, Shared& shared) const {
    const int count = shared.count, warp = thread / 32, lane = thread % 32;
    if (place.kind == Kind::kPart) {
      const int shift = count >= kWarps ? 0 : count > 1 ? 1 : 2, sharers = 1 << shift;
      for (int i = warp >> shift; i < count; i += kWarps >> shift)
        draw_ellipse(place, shared.shapes[shared.listed[i]], lane, warp & (sharers - 1), sharers, shared);
    } else {
      for (int i = warp; i < count; i += kWarps)
        draw_keypoint(place, shared.shapes[shared.listed[i]], lane, &shared.slots[32 * warp], shared);
    }
  }

  // A warp covers as many columns as the part has, rounded to a power of two, and as many rows as it then has threads
  // for.
  SP_HD void draw_ellipse(const Place& place, const Drawn shape, int lane, int share, int sharers,
                          Shared& shared) const {
    const TargetRules rules = this->rules();
    const int shift = shape.shift(), rows = 32 >> shift, right = shape.right(), bottom = shape.bottom();
    const int first = shape.top() + (lane >> shift) + share * rows, step = sharers * rows;
    for (int column = shape.left() + (lane & ((1 << shift) - 1)); column <= right; column += 32) {
      const float px = grid(place.x + column, rules.stride) - shape.x;
      int at = first * kTilePitch + column;
      for (int row = first; row <= bottom; row += step, at += step * kTilePitch) {
        const float py = grid(place.y + row, rules.stride) - shape.y;
        const float exponent = part_exponent(shape.axis, px, py), value = exp2_minus(exponent);
        const bool inside = ellipse_inside(shape.axis, px, py, exponent, rules) >= 0.0f;
        keep_larger(shared.tile[at], inside ? value : 0.0f);
      }
    }
  }

  // The shape is drawn in squares that lie within the tile. Every thread computes one factor: half of the threads those
  // of the rows, the others those of the columns. Factors outside the shape are zero, so that all threads may draw all
  // rows. Each half of the warp draws four rows at a time: cells four rows apart are in different banks.
  SP_HD void draw_keypoint(const Place& place, const Drawn shape, int lane, float* slots, Shared& shared) const {
    const TargetRules rules = this->rules();
    const CellRange columns{shape.left(), shape.right()}, rows{shape.top(), shape.bottom()};
    for (int y = rows.first; y <= rows.last; y += kSide) {
      for (int x = columns.first; x <= columns.last; x += kSide) {
        const int top = y < kTile - kSide ? y : kTile - kSide, left = x < kTile - kSide ? x : kTile - kSide;
        const auto factor_of = [&](int slot) {
          const bool of_row = slot < kSide;
          const int cell = of_row ? top + slot : left + slot - kSide;
          if (cell < (of_row ? rows.first : columns.first) || cell > (of_row ? rows.last : columns.last)) return 0.0f;
          return keypoint_factor((of_row ? place.y : place.x) + cell, of_row ? shape.y : shape.x, rules);
        };
        const WarpValues factors(slots, lane, factor_of(lane), factor_of);
        const float along_x = factors[kSide + lane % kSide];
        constexpr int kRows = 4;  // rows that half a warp draws at a time
        const int below = kRows * (lane / kSide), first = (top + below) * kTilePitch + left + lane % kSide;
        SP_UNROLL
        for (int row = 0; row < kSide; row += 2 * kRows) {
          const Group<float, kRows> along_y = factors.four(row + below);
          SP_UNROLL
          for (int k = 0; k < kRows; ++k)
            keep_larger(shared.tile[first + (row + k) * kTilePitch], keypoint_value(along_y.cells[k], along_x, rules));
        }
      }
    }
  }

  SP_HD void add_lines(const Place& place, int thread, Shared& shared, const Span<float>& boxes) const {
    const int count = shared.count;
    for (int cell = thread; cell < kTile * kTile; cell += kThreads) {
      const int column = cell % kTile, row = cell / kTile, at = row * kTilePitch + column;
      float sum = shared.tile[at], covering = boxes[at];
      for (int i = 0; i < count; ++i) {
        const Drawn& shape = shared.shapes[shared.listed[i]];
        if (column < shape.left() || column > shape.right() || row < shape.top() || row > shape.bottom()) continue;
        sum += line_value(shape.axis, grid(place.x + column, arguments.rules.stride) - shape.x,
                          grid(place.y + row, arguments.rules.stride) - shape.y, rules());
        covering += 1.0f;
      }
      shared.tile[at] = sum;
      boxes[at] = covering;
    }
  }

  SP_HD static void divide(int thread, Shared& shared, const Span<float>& boxes) {
    for (int cell = thread; cell < kTile * kTile; cell += kThreads) {
      const int at = cell / kTile * kTilePitch + cell % kTile;
      shared.tile[at] /= larger(boxes[at], 1.0f);
    }
  }
};

}  // namespace simplepose
