// The CUDA kernels of render_targets, as structs that csrc/grid.h runs on the GPU and walks through on the host.
//
// A block draws one tile of one channel into shared memory and writes it, and what it pools down to, once. It takes the
// shapes of its channel (people, or all keypoints of all people for the envelope) 32 at a time: one thread a shape
// finds those that reach the tile; then warps draw them, several shapes side by side, 8 x 4 cells at a time, each cell
// of the tile keeping the larger value. Maxima do not depend on the order, so the result has the bits of the CPU's. The
// line shape's means do; there each thread sums its own cells in the order of the people. A tile that nothing reaches,
// and most are such, only stores zeros.
#pragma once

#include "grid.h"
#include "half.h"
#include "kernel_tools.h"
#include "render_targets.h"

namespace simplepose {

constexpr int kTile = 64;       // cells a side
constexpr int kTileScales = 7;  // down to one cell a tile; further scales are pooled by PoolKernel

template <typename Out>
struct RenderKernel {
  static constexpr int kThreads = 256;
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
  static constexpr int kMinBlocks = 4;  // all threads that a multiprocessor has there
#else
  static constexpr int kMinBlocks = 5;
#endif
  static constexpr int kWarps = kThreads / 32;
  static constexpr int kChunk = 32;
  static constexpr int kPitch = kTile + 8;    // 8 x 4 cells then lie in 32 different banks
  static constexpr int kFactors = 2 * kTile;  // of a keypoint: one for each column and each row of the tile

  enum class Kind { kPart, kKeypoint, kEnvelope };

  struct alignas(16) Shared {
    Fixed<float, kTile * kPitch> tile;
    Fixed<float, kChunk * kFactors> scratch;  // the keypoints' factors, later the coarser scales
    Fixed<TargetShape, kChunk> shapes;        // those that reach the tile, cut to it
    Fixed<unsigned char, kChunk> reaches;
  };
  struct Local {};

  // What one block draws. Short, since every thread keeps it.
  struct Place {
    Kind kind;
    int channel, image;
    int x, y;  // the tile's first cell; the map may end inside the tile

    SP_HD CellRange columns() const { return {x, x + kTile - 1}; }
    SP_HD CellRange rows() const { return {y, y + kTile - 1}; }
  };

  TargetArguments arguments;
  Span<const float> keypoints;
  Span<const int32_t> parts;
  int64_t tiles;  // of a map
  Divisor by_tiles, by_images, by_columns;
  int scales;
  Fixed<Span<Out>, kTileScales> maps;
  Fixed<bool, kTileScales> in_fours;  // whether rows start at multiples of four cells

  // `maps`: one a scale, those after the first kTileScales are left to PoolKernel.
  static RenderKernel make(const TargetArguments& arguments, const std::vector<Out*>& maps) {
    if (arguments.people > (1 << 30) / std::max(arguments.keypoint_types, 1))
      throw std::invalid_argument("render_targets: too many people in an image for one launch");
    RenderKernel kernel{};
    kernel.arguments = arguments;
    kernel.keypoints = {arguments.keypoints, arguments.images * arguments.people * arguments.keypoint_types * 3};
    kernel.parts = {arguments.parts, int64_t{2} * arguments.part_types};
    const int64_t columns = (arguments.width + kTile - 1) / kTile, rows = (arguments.height + kTile - 1) / kTile;
    kernel.tiles = columns * rows;
    kernel.by_tiles = Divisor(kernel.tiles);
    kernel.by_images = Divisor(std::max<int64_t>(arguments.images, 1));
    kernel.by_columns = Divisor(columns);
    kernel.scales = std::min(static_cast<int>(maps.size()), kTileScales);
    for (int scale = 0; scale < kernel.scales; ++scale) {
      const int height = arguments.height >> scale, width = arguments.width >> scale;
      Out* const data = maps[static_cast<size_t>(scale)];
      kernel.maps[scale] = {data, arguments.images * arguments.channels() * height * width};
      kernel.in_fours[scale] = width % 4 == 0 && reinterpret_cast<uintptr_t>(data) % sizeof(Four<Out>) == 0;
    }
    return kernel;
  }

  int64_t blocks() const { return arguments.images * arguments.channels() * tiles; }

  // For every cell of the tile the people whose box covers it.
  int64_t dynamic_bytes() const { return arguments.rules.line ? kTile * kPitch * int64_t{sizeof(float)} : 0; }

  template <typename Block>
  SP_HD void run(Block& block) const {
    const Place place = place_of(static_cast<unsigned>(block.index()));
    const Span<float> boxes = block.template dynamic<float>(0, averaged(place) ? kTile * kPitch : 0);
    bool drawn = false;
    for (int first = 0; first < shape_count(place); first += kChunk) {
      const bool reached = block.any(
          [&](int thread, Local&, Shared& shared) { return find_shape(place, first + thread, thread, shared); });
      if (!reached) continue;
      block.each([&](int thread, Local&, Shared& shared) {
        if (!drawn) clear(thread, averaged(place), shared, boxes);
        if (place.kind != Kind::kPart) find_factors(place, thread, shared);
      });
      drawn = true;
      block.each([&](int thread, Local&, Shared& shared) {
        averaged(place) ? add_lines(place, thread, shared, boxes) : draw_shapes(place, thread, shared);
      });
    }
    if (!drawn) {
      block.each([&](int thread, Local&, Shared&) { store_zeros(place, thread); });
      return;
    }
    if (averaged(place)) block.each([&](int thread, Local&, Shared& shared) { divide(thread, shared, boxes); });
    block.each([&](int thread, Local&, Shared& shared) {
      store_tile(place, thread, shared);
      if (scales > 1) pool(place, 1, thread, shared);
    });
    for (int scale = 2; scale < scales; ++scale)
      block.each([&](int thread, Local&, Shared& shared) { pool(place, scale, thread, shared); });
  }

  // The last channel of every image first: the envelope, if there, takes longest, and nothing should wait for it.
  SP_HD Place place_of(unsigned block) const {
    const unsigned plane = by_tiles.quotient(block), tile = by_tiles.rest(block, plane);
    const unsigned last = by_images.quotient(plane), image = by_images.rest(plane, last);
    const unsigned row = by_columns.quotient(tile), column = by_columns.rest(tile, row);
    const int channel = channels() - 1 - static_cast<int>(last);
    const Kind kind = channel < arguments.part_types                              ? Kind::kPart
                      : channel < arguments.part_types + arguments.keypoint_types ? Kind::kKeypoint
                                                                                  : Kind::kEnvelope;
    return {kind, channel, static_cast<int>(image), static_cast<int>(column) * kTile, static_cast<int>(row) * kTile};
  }

  SP_HD int channels() const { return arguments.part_types + arguments.keypoint_types + (arguments.envelope ? 1 : 0); }

  SP_HD int shape_count(const Place& place) const {
    return static_cast<int>(arguments.people) * (place.kind == Kind::kEnvelope ? arguments.keypoint_types : 1);
  }

  SP_HD bool averaged(const Place& place) const { return arguments.rules.line && place.kind == Kind::kPart; }

  SP_HD bool shape_of(const Place& place, int64_t index, TargetShape* shape) const {
    const int types = arguments.keypoint_types;
    const Span<const float> image =
        keypoints.part(place.image * arguments.people * types * 3, arguments.people * types * 3);
    if (place.kind == Kind::kPart) {
      const Span<const float> person = image.part(index * types * 3, int64_t{types} * 3);
      const int from = parts[2 * place.channel], to = parts[2 * place.channel + 1];
      return part_shape(person.at(int64_t{3} * from, 3), person.at(int64_t{3} * to, 3), arguments.rules,
                        arguments.height, arguments.width, shape);
    }
    const int64_t point =
        place.kind == Kind::kKeypoint ? index * types + (place.channel - arguments.part_types) : index;
    return keypoint_shape(image.at(point * 3, 3), arguments.rules, arguments.height, arguments.width, shape);
  }

  // One thread a shape.
  SP_HD bool find_shape(const Place& place, int64_t index, int thread, Shared& shared) const {
    if (thread >= kChunk) return false;
    TargetShape shape;
    bool reaches = index < shape_count(place) && shape_of(place, index, &shape);
    if (reaches) {
      shape.columns = shape.columns.cut(place.columns());
      shape.rows = shape.rows.cut(place.rows());
      reaches = !shape.columns.empty() && !shape.rows.empty();
    }
    shared.reaches[thread] = reaches;
    if (reaches) shared.shapes[thread] = shape;
    return reaches;
  }

  SP_HD static void clear(int thread, bool averaged, Shared& shared, const Span<float>& boxes) {
    for (int cell = 4 * thread; cell < kTile * kPitch; cell += 4 * kThreads) {
      four(shared.tile, cell) = {};
      if (averaged)
        for (int i = 0; i < 4; ++i) boxes[cell + i] = 0.0f;
    }
  }

  // Each keypoint's factors, two keypoints at a time.
  SP_HD void find_factors(const Place& place, int thread, Shared& shared) const {
    const int cell = thread % kTile, axis = thread / kTile % 2, turn = thread / kFactors;
    int number = 0;
    for (unsigned left = gather_bits(shared.reaches); left != 0; left &= left - 1, ++number) {
      if (number % (kThreads / kFactors) != turn) continue;
      const int index = lowest_bit(left);
      const TargetShape& shape = shared.shapes[index];
      const int at = cell + (axis == 0 ? place.x : place.y);
      if (!(axis == 0 ? shape.columns : shape.rows).has(at)) continue;
      shared.scratch[index * kFactors + axis * kTile + cell] =
          keypoint_factor(at, axis == 0 ? shape.x : shape.y, arguments.rules);
    }
  }

  // Warps take a shape each, or where there are few, two, four or all of them share one.
  SP_HD void draw_shapes(const Place& place, int thread, Shared& shared) const {
    const unsigned reaching = gather_bits(shared.reaches);
    const int count = count_bits(reaching), warp = thread / 32;
    const int shift = count > 4 ? 0 : count > 2 ? 1 : count > 1 ? 2 : 3;  // 2^shift warps share a shape
    const int share = (warp & ((1 << shift) - 1)) * 4 + thread % 32 / 8;  // of the shape's rows
    int turn = warp >> shift;                                             // shapes until this warp's next
    for (unsigned left = reaching; left != 0; left &= left - 1) {
      if (turn-- > 0) continue;
      turn = (kWarps >> shift) - 1;
      const int index = lowest_bit(left);
      if (place.kind == Kind::kPart)
        draw_ellipse(place, shared.shapes[index], thread, share, 4 << shift, shared);
      else
        draw_keypoint(place, index, thread, share, 4 << shift, shared);
    }
  }

  // Rows `share`, `share` + `step`, ... of the shape; eight threads in a row.
  SP_HD void draw_ellipse(const Place& place, const TargetShape shape, int thread, int share, int step,
                          Shared& shared) const {
    const TargetRules& rules = arguments.rules;
    for (int y = shape.rows.first + share; y <= shape.rows.last; y += step) {
      const float py = grid(y, rules.stride) - shape.y;
      for (int x = shape.columns.first + thread % 8; x <= shape.columns.last; x += 8) {
        const EllipsePoint point = ellipse_point(shape, grid(x, rules.stride) - shape.x, py, rules);
        if (point.outside()) continue;
        keep_larger(shared.tile[(y - place.y) * kPitch + x - place.x], ellipse_value(point, rules));
      }
    }
  }

  SP_HD void draw_keypoint(const Place& place, int index, int thread, int share, int step, Shared& shared) const {
    const CellRange columns = shared.shapes[index].columns, rows = shared.shapes[index].rows;
    for (int row = rows.first - place.y + share; row <= rows.last - place.y; row += step) {
      const float along_y = shared.scratch[index * kFactors + kTile + row];
      for (int column = columns.first - place.x + thread % 8; column <= columns.last - place.x; column += 8) {
        const float along_x = shared.scratch[index * kFactors + column];
        const float value = keypoint_value(along_y, along_x, arguments.rules);
        if (value > 0.0f) keep_larger(shared.tile[row * kPitch + column], value);
      }
    }
  }

  SP_HD void add_lines(const Place& place, int thread, Shared& shared, const Span<float>& boxes) const {
    const unsigned reaching = gather_bits(shared.reaches);
    for (int cell = thread; cell < kTile * kTile; cell += kThreads) {
      const int at = cell / kTile * kPitch + cell % kTile;
      const int x = place.x + cell % kTile, y = place.y + cell / kTile;
      float sum = shared.tile[at], covering = boxes[at];
      for (unsigned left = reaching; left != 0; left &= left - 1) {
        const TargetShape& shape = shared.shapes[lowest_bit(left)];
        if (!shape.columns.has(x) || !shape.rows.has(y)) continue;
        const float px = grid(x, arguments.rules.stride) - shape.x, py = grid(y, arguments.rules.stride) - shape.y;
        sum += line_value(shape, px, py, arguments.rules);
        covering += 1.0f;
      }
      shared.tile[at] = sum;
      boxes[at] = covering;
    }
  }

  SP_HD static void divide(int thread, Shared& shared, const Span<float>& boxes) {
    for (int cell = thread; cell < kTile * kTile; cell += kThreads) {
      const int at = cell / kTile * kPitch + cell % kTile;
      shared.tile[at] /= larger(boxes[at], 1.0f);
    }
  }

  // The cells of a tile's scale go to the threads by groups of up to four in a row; these are a row's groups, as the
  // power of two that they are.
  SP_HD static int groups(int scale) { return scale < 4 ? 4 - scale : 0; }

  SP_HD void store_zeros(const Place& place, int thread) const {
    for (int i = thread; i < kTile << groups(0); i += kThreads)
      store(place, 0, i >> groups(0), (i & ((1 << groups(0)) - 1)) * 4, 4, {});
    for (int scale = 1; scale < scales; ++scale) {
      const int side = kTile >> scale, shift = groups(scale);
      if (thread < side << shift)
        store(place, scale, thread >> shift, (thread & ((1 << shift) - 1)) * 4, side < 4 ? side : 4, {});
    }
  }

  SP_HD void store_tile(const Place& place, int thread, Shared& shared) const {
    for (int i = thread; i < kTile << groups(0); i += kThreads) {
      const int row = i >> groups(0), column = (i & ((1 << groups(0)) - 1)) * 4;
      store(place, 0, row, column, 4, four(shared.tile, row * kPitch + column));
    }
  }

  // From the scale before to this one, in scratch, and out. From scale 1 on there is at most one group a thread.
  SP_HD void pool(const Place& place, int scale, int thread, Shared& shared) const {
    const int side = kTile >> scale, shift = groups(scale), count = side < 4 ? side : 4;
    if (thread >= side << shift) return;
    const int row = thread >> shift, column = (thread & ((1 << shift) - 1)) * 4;
    const int from = pooled(scale - 1), to = pooled(scale), pitch = scale == 1 ? kPitch : 2 * side;
    Four<float> means{};
    for (int k = 0; k < 4; ++k) {
      if (k >= count) continue;
      const int upper = 2 * row * pitch + 2 * (column + k), lower = upper + pitch;
      means.cells[k] =
          scale == 1 ? average(shared.tile[upper], shared.tile[upper + 1], shared.tile[lower], shared.tile[lower + 1])
                     : average(shared.scratch[from + upper], shared.scratch[from + upper + 1],
                               shared.scratch[from + lower], shared.scratch[from + lower + 1]);
      shared.scratch[to + row * side + column + k] = means.cells[k];
    }
    store(place, scale, row, column, count, means);
  }

  // Where in scratch a scale above 0 starts: after those before it, of 32 x 32, 16 x 16, ... cells.
  SP_HD static int pooled(int scale) {
    return scale == 0 ? 0 : (kTile * kTile - (kTile * kTile >> 2 * (scale - 1))) / 3;
  }

  SP_HD static float average(float a, float b, float c, float d) { return ((a + b) + (c + d)) * 0.25f; }

  SP_HD static Four<float>& four(Fixed<float, kTile * kPitch>& tile, int cell) {
    (void)tile[cell + 3];
    return *reinterpret_cast<Four<float>*>(&tile[cell]);
  }

  // `count` cells of the tile of a scale from (row, column) on, but for those outside the map.
  SP_HD void store(const Place& place, int scale, int row, int column, int count, const Four<float>& values) const {
    const int height = arguments.height >> scale, width = arguments.width >> scale;
    const int x = (place.x >> scale) + column, y = (place.y >> scale) + row;
    const int inside = width - x < count ? width - x : count;
    if (y >= height || inside <= 0) return;
    Four<Out> rounded;
    for (int i = 0; i < 4; ++i) round_to(values.cells[i], &rounded.cells[i]);
    const Span<Out>& map = maps.elements[scale];
    const int64_t at = ((int64_t{place.image} * channels() + place.channel) * height + y) * width + x;
    if (inside == 4 && in_fours.elements[scale]) {
      check_aligned(map.at(at, 4), sizeof rounded);
      *reinterpret_cast<Four<Out>*>(map.at(at, 4)) = rounded;
      return;
    }
    for (int i = 0; i < 4; ++i)
      if (i < inside) map[at + i] = rounded.cells[i];
  }

  SP_HD static void check_aligned(const void* address, size_t bytes) {
#if !defined(__CUDA_ARCH__)
    if (reinterpret_cast<uintptr_t>(address) % bytes != 0) throw GridError("four cells that are not aligned");
#else
    (void)address, (void)bytes;
#endif
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
      coarse[cell] = RenderKernel<float>::average(fine[upper], fine[upper + 1], fine[lower], fine[lower + 1]);
    });
  }
};

}  // namespace simplepose
