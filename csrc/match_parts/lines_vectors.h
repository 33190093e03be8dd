// The lines between pairs of peaks, and the samples along them: a lane is a pair, or a sample of one pair.
#pragma once

#include "match_parts/part.h"

namespace simplepose {
namespace {

// Pairs of peaks, and for affinity fields the directions from a to b.
struct Lines {
  Floats ax, ay, bx, by;
  Floats along_x, along_y;
};

SP_VECTOR SP_INLINE Lines lines_between(Floats ax, Floats ay, Floats bx, Floats by) {
  return {ax, ay, bx, by, splat(0.0f), splat(0.0f)};
}

// Part::direction() of the pairs.
template <bool kField>
SP_VECTOR SP_INLINE void aim(Lines& lines) {
  if (!kField) return;
  const Floats dx = lines.bx - lines.ax, dy = lines.by - lines.ay;
  const Floats length = square_root(dx * dx + dy * dy);
  lines.along_x = zero_unless_above(dx / length, length, splat(0.0f));
  lines.along_y = zero_unless_above(dy / length, length, splat(0.0f));
}

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

SP_VECTOR SP_INLINE Ints cell_of(const Part& part, const Places& at) {
  return add(multiply(at.y0, splat(part.width)), at.x0);
}

// The map between the cells and their neighbors, as bilinear() computes it for finite values.
SP_VECTOR SP_INLINE Floats between(const float* map, int width, const int32_t* cells, Floats fx, Floats fy) {
  Floats v00, v01, v10, v11;
  load_neighbors(map, cells, &v00, &v01);
  load_neighbors(map + width, cells, &v10, &v11);
  const Floats top = v00 + fx * (v01 - v00), bottom = v10 + fx * (v11 - v10);
  return top + fy * (bottom - top);
}

// Part::value() at the places. A non-finite value in a map makes its sample non-finite; those lanes are done again one
// by one.
template <bool kField>
SP_VECTOR SP_INLINE Floats sample(const Part& part, const Lines& lines, const Places& at) {
  alignas(64) int32_t cells[kLanes];
  store(cells, cell_of(part, at));
  __asm__ volatile("" : "+m"(cells));  // or gcc extracts the lanes one by one, slower than loading them
  const Floats fx = at.x - to_floats(at.x0), fy = at.y - to_floats(at.y0);
  Floats value = between(part.map, part.width, cells, fx, fy);
  if (kField) value = value * lines.along_x + between(part.y_map, part.width, cells, fx, fy) * lines.along_y;
  unsigned odd = not_finite(value);
  if (__builtin_expect(odd != 0, 0)) {
    float values[kLanes], xs[kLanes], ys[kLanes], along_x[kLanes] = {}, along_y[kLanes] = {};
    store(values, value), store(xs, at.x), store(ys, at.y);
    if (kField) store(along_x, lines.along_x), store(along_y, lines.along_y);
    for (; odd; odd &= odd - 1) {
      const int lane = __builtin_ctz(odd);
      values[lane] = part.value(xs[lane], ys[lane], {along_x[lane], along_y[lane]});
    }
    value = load(values);
  }
  return value;
}

}  // namespace
}  // namespace simplepose
