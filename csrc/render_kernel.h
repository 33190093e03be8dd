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
#include "render_targets.h"

namespace simplepose {

constexpr int kTile = 64;       // cells a side
constexpr int kTileScales = 7;  // down to one cell a tile; further scales are pooled by PoolKernel

// Bit i: whether flags[i] is not 0. All threads of a warp must call it.
SP_HD unsigned gather_bits(Fixed<unsigned char, 32>& flags) {
#if defined(__CUDA_ARCH__)
  return __ballot_sync(0xffffffffu, flags[threadIdx.x % 32] != 0);
#else
  unsigned bits = 0;
  for (int i = 0; i < 32; ++i) bits |= (flags[i] != 0 ? 1u : 0u) << i;
  return bits;
#endif
}

SP_HD int lowest_bit(unsigned word) {
#if defined(__CUDA_ARCH__)
  return __ffs(static_cast<int>(word)) - 1;
#else
  return __builtin_ctz(word);
#endif
}

// Values that are not negative: their bits have the order of the values.
SP_HD void keep_larger(float& cell, float value) {
#if defined(__CUDA_ARCH__)
  atomicMax(reinterpret_cast<int*>(&cell), __float_as_int(value));
#else
  cell = larger(cell, value);
#endif
}

// Four neighbouring cells, one access where they lie at a multiple of their size.
template <typename T>
struct alignas(4 * sizeof(T)) Four {
  T cells[4];
};

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
  int tiles_x, tiles_y, scales;
  Fixed<Span<Out>, kTileScales> maps;
  Fixed<bool, kTileScales> in_fours;  // whether rows start at multiples of four cells

  // `maps`: one a scale, those after the first kTileScales are left to PoolKernel.
  static RenderKernel make(const TargetArguments& arguments, const std::vector<Out*>& maps) {
    RenderKernel kernel{};
    kernel.arguments = arguments;
    kernel.keypoints = {arguments.keypoints, arguments.images * arguments.people * arguments.keypoint_types * 3};
    kernel.parts = {arguments.parts, int64_t{2} * arguments.part_types};
    kernel.tiles_x = (arguments.width + kTile - 1) / kTile;
    kernel.tiles_y = (arguments.height + kTile - 1) / kTile;
    kernel.scales = std::min(static_cast<int>(maps.size()), kTileScales);
    for (int scale = 0; scale < kernel.scales; ++scale) {
      const int height = arguments.height >> scale, width = arguments.width >> scale;
      Out* const data = maps[static_cast<size_t>(scale)];
      kernel.maps[scale] = {data, arguments.images * arguments.channels() * height * width};
      kernel.in_fours[scale] = width % 4 == 0 && reinterpret_cast<uintptr_t>(data) % sizeof(Four<Out>) == 0;
    }
    return kernel;
  }

  int64_t blocks() const { return arguments.images * arguments.channels() * tiles_x * tiles_y; }

  // For every cell of the tile the people whose box covers it.
  int64_t dynamic_bytes() const { return arguments.rules.line ? kTile * kPitch * int64_t{sizeof(float)} : 0; }

  template <typename Block>
  SP_HD void run(Block& block) const {
    const Place place = place_of(static_cast<unsigned>(block.index()));
    const Span<float> boxes = block.template dynamic<float>(0, averaged(place) ? kTile * kPitch : 0);
    bool drawn = false;
    for (int64_t first = 0; first < shape_count(place); first += kChunk) {
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
    const unsigned tiles = static_cast<unsigned>(tiles_x * tiles_y);
    const unsigned tile = block % tiles, plane = block / tiles;
    const unsigned images = static_cast<unsigned>(arguments.images);
    const int x = static_cast<int>(tile % static_cast<unsigned>(tiles_x)) * kTile;
    const int y = static_cast<int>(tile / static_cast<unsigned>(tiles_x)) * kTile;
    const int channel = channels() - 1 - static_cast<int>(plane / images);
    const Kind kind = channel < arguments.part_types                              ? Kind::kPart
                      : channel < arguments.part_types + arguments.keypoint_types ? Kind::kKeypoint
                                                                                  : Kind::kEnvelope;
    return {kind, channel, static_cast<int>(plane % images), x, y};
  }

  SP_HD int channels() const { return arguments.part_types + arguments.keypoint_types + (arguments.envelope ? 1 : 0); }

  SP_HD int64_t shape_count(const Place& place) const {
    return arguments.people * (place.kind == Kind::kEnvelope ? arguments.keypoint_types : 1);
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
    const int sharing = count < kWarps ? kWarps / count : 1;
    const int share = warp % sharing * 4 + thread % 32 / 8;  // of the shape's rows
    int number = 0;
    for (unsigned left = reaching; left != 0; left &= left - 1, ++number) {
      if (number % (kWarps / sharing) != warp / sharing) continue;
      const int index = lowest_bit(left);
      const TargetShape shape = shared.shapes[index];
      for (int y = shape.rows.first + share; y <= shape.rows.last; y += 4 * sharing) {
        const int row = y - place.y;
        if (place.kind == Kind::kPart)
          draw_ellipse_row(place, shape, y, thread % 8, &shared.tile[row * kPitch]);
        else
          draw_keypoint_row(place, shape, &shared.scratch[index * kFactors], row, thread % 8,
                            &shared.tile[row * kPitch]);
      }
    }
  }

  SP_HD void draw_ellipse_row(const Place& place, const TargetShape& shape, int y, int lane, float* cells) const {
    const TargetRules& rules = arguments.rules;
    const float py = grid(y, rules.stride) - shape.y;
    for (int x = shape.columns.first + lane; x <= shape.columns.last; x += 8) {
      const EllipsePoint point = ellipse_point(shape, grid(x, rules.stride) - shape.x, py, rules);
      if (point.outside()) continue;
      keep_larger(cells[x - place.x], ellipse_value(point, rules));
    }
  }

  SP_HD void draw_keypoint_row(const Place& place, const TargetShape& shape, const float* factors, int row, int lane,
                               float* cells) const {
    const float along_y = factors[kTile + row];
    for (int x = shape.columns.first + lane; x <= shape.columns.last; x += 8) {
      const int column = x - place.x;
      const float value = keypoint_value(along_y, factors[column], arguments.rules);
      if (value > 0.0f) keep_larger(cells[column], value);
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

  SP_HD void store_zeros(const Place& place, int thread) const {
    for (int scale = 0; scale < scales; ++scale) {
      const int side = kTile >> scale, wide = side < 4 ? side : 4;
      for (int i = thread; i < side * side / wide; i += kThreads)
        store(place, scale, i / (side / wide), i % (side / wide) * wide, wide, {});
    }
  }

  SP_HD void store_tile(const Place& place, int thread, Shared& shared) const {
    for (int i = thread; i < kTile * kTile / 4; i += kThreads) {
      const int row = i / (kTile / 4), column = i % (kTile / 4) * 4;
      store(place, 0, row, column, 4, four(shared.tile, row * kPitch + column));
    }
  }

  // From the scale before to this one, in scratch, and out.
  SP_HD void pool(const Place& place, int scale, int thread, Shared& shared) const {
    const int side = kTile >> scale, wide = side < 4 ? side : 4;
    const int from = pooled(scale - 1), to = pooled(scale), pitch = scale == 1 ? kPitch : 2 * side;
    for (int i = thread; i < side * side / wide; i += kThreads) {
      const int row = i / (side / wide), column = i % (side / wide) * wide;
      Four<float> means{};
      for (int k = 0; k < wide; ++k) {
        const int upper = 2 * row * pitch + 2 * (column + k), lower = upper + pitch;
        const float mean =
            scale == 1 ? average(shared.tile[upper], shared.tile[upper + 1], shared.tile[lower], shared.tile[lower + 1])
                       : average(shared.scratch[from + upper], shared.scratch[from + upper + 1],
                                 shared.scratch[from + lower], shared.scratch[from + lower + 1]);
        means.cells[k] = mean;
        shared.scratch[to + row * side + column + k] = mean;
      }
      store(place, scale, row, column, wide, means);
    }
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
