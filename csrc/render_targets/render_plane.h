// The CPU code that draws one channel of one image. It visits only the cells of the shapes, while the map is in cache.
//
// All functions are inlined into their caller: render_plane_generic and, with wider vectors, render_plane_avx2. The
// results are bit-identical.
#pragma once

#include <algorithm>
#include <cstring>
#include <vector>

#include "common/simd.h"
#include "render_targets/render_targets.h"

namespace simplepose {

constexpr int kRenderLanes = 8;  // elements of a vector

// Memory of a thread, reused for all planes.
struct RenderScratch {
  std::vector<float> along_x, along_y;  // a keypoint's factors; along_x also counts boxes in a row
  std::vector<TargetShape> shapes;
};

// The map of one channel of one image, at one scale.
struct Plane {
  float* cells;
  int height, width;
  float* row(int y) const { return cells + int64_t{y} * width; }
};

// The span, extended to whole vectors where the axis is long enough. The additional cells may be drawn too: the value
// of a cell decides whether it belongs to the shape, not the span.
SP_INLINE CellRange whole_vectors(CellRange span, int cells) {
  const int count = std::min((span.last - span.first + kRenderLanes) / kRenderLanes * kRenderLanes, cells);
  const int first = std::min(span.first, cells - count);
  return {first, first + count - 1};
}

SP_INLINE void keypoint_factors(CellRange span, float position, const TargetRules& rules, float* __restrict factors) {
  for (int cell = span.first; cell <= span.last; ++cell)
    factors[cell - span.first] = keypoint_factor(cell, position, rules);
}

SP_INLINE void draw_keypoint(const Plane& plane, const float* keypoint, const TargetRules& rules,
                             RenderScratch& scratch) {
  TargetShape shape;
  if (!keypoint_shape(keypoint, rules, plane.height, plane.width, &shape)) return;
  const CellRange columns = rules.line ? shape.columns : whole_vectors(shape.columns, plane.width);
  const int count = columns.last - columns.first + 1;
  const float* __restrict along_x = scratch.along_x.data();
  keypoint_factors(columns, shape.x, rules, scratch.along_x.data());
  keypoint_factors(shape.rows, shape.y, rules, scratch.along_y.data());
  for (int y = shape.rows.first; y <= shape.rows.last; ++y) {
    const float along_y = scratch.along_y[y - shape.rows.first];
    float* __restrict out = plane.row(y) + columns.first;
    for (int i = 0; i < count; ++i) out[i] = larger(out[i], keypoint_value(along_y, along_x[i], rules));
  }
}

// The inner loops take shape and rules by value. Stores to the row cannot change copies, so the compiler can vectorize.
SP_INLINE void draw_ellipse_row(const TargetShape shape, const TargetRules rules, CellRange columns, float py,
                                float* __restrict row) {
  for (int x = columns.first; x <= columns.last; ++x)
    row[x] = larger(row[x], ellipse_value(shape.axis, grid(x, rules.stride) - shape.x, py, rules));
}

SP_INLINE void add_line_row(const TargetShape shape, const TargetRules rules, float py, float* __restrict row,
                            float* __restrict boxes) {
  for (int x = shape.columns.first; x <= shape.columns.last; ++x) {
    row[x] += line_value(shape.axis, grid(x, rules.stride) - shape.x, py, rules);
    boxes[x] += 1.0f;
  }
}

SP_INLINE void add_field_row(const TargetShape shape, const TargetRules rules, float vector, float py,
                             float* __restrict row, float* __restrict people) {
  for (int x = shape.columns.first; x <= shape.columns.last; ++x) {
    const float covered = field_covers(shape, grid(x, rules.stride) - shape.x, py, rules) ? 1.0f : 0.0f;
    row[x] += covered * vector;
    people[x] += covered;
  }
}

SP_INLINE void draw_ellipse(const Plane& plane, const TargetShape& shape, const TargetRules& rules) {
  for (int y = shape.rows.first; y <= shape.rows.last; ++y) {
    const CellRange reached = ellipse_row(shape, y, rules, plane.width);
    if (reached.empty()) continue;
    draw_ellipse_row(shape, rules, whole_vectors(reached, plane.width), grid(y, rules.stride) - shape.y, plane.row(y));
  }
}

// Draws row by row, so that the number of boxes over each cell needs one row only. `axis`: of the vectors of an
// affinity field, 0 for x and 1 for y.
SP_INLINE void average_shapes(const Plane& plane, const TargetRules& rules, int axis, RenderScratch& scratch) {
  float* __restrict boxes = scratch.along_x.data();
  for (int y = 0; y < plane.height; ++y) {
    float* __restrict out = plane.row(y);
    std::fill_n(boxes, plane.width, 0.0f);
    for (const TargetShape& shape : scratch.shapes) {
      if (!shape.rows.has(y)) continue;
      const float py = grid(y, rules.stride) - shape.y;
      if (rules.paf)
        add_field_row(shape, rules, axis ? shape.uy : shape.ux, py, out, boxes);
      else
        add_line_row(shape, rules, py, out, boxes);
    }
    for (int x = 0; x < plane.width; ++x) out[x] /= larger(boxes[x], 1.0f);
  }
}

SP_INLINE void draw_part(const Plane& plane, const TargetArguments& arguments, const float* image, const int32_t* part,
                         int axis, RenderScratch& scratch) {
  const int64_t person_size = int64_t{3} * arguments.keypoint_types;
  scratch.shapes.clear();
  for (int64_t person = 0; person < arguments.people; ++person) {
    const float* points = image + person * person_size;
    TargetShape shape;
    if (!part_shape(points + 3 * part[0], points + 3 * part[1], arguments.rules, plane.height, plane.width, &shape))
      continue;
    if (arguments.rules.line || arguments.rules.paf)
      scratch.shapes.push_back(shape);
    else
      draw_ellipse(plane, shape, arguments.rules);
  }
  if (!scratch.shapes.empty()) average_shapes(plane, arguments.rules, axis, scratch);
}

SP_INLINE void draw_channel(const Plane& plane, const TargetArguments& arguments, int64_t image_index, int channel,
                            RenderScratch& scratch) {
  const int64_t person_size = int64_t{3} * arguments.keypoint_types;
  const float* image = arguments.keypoints + image_index * arguments.people * person_size;
  std::memset(plane.cells, 0, sizeof(float) * plane.height * plane.width);
  if (channel < arguments.part_channels()) {
    const int part = arguments.rules.paf ? channel / 2 : channel;
    draw_part(plane, arguments, image, arguments.parts + int64_t{2} * part, channel % 2, scratch);
    return;
  }
  // The envelope draws every type: a maximum over people and types does not depend on the order.
  const int type = channel - arguments.part_channels();
  const int first = type < arguments.keypoint_types ? type : 0;
  const int last = type < arguments.keypoint_types ? type : arguments.keypoint_types - 1;
  for (int64_t person = 0; person < arguments.people; ++person)
    for (int k = first; k <= last; ++k)
      draw_keypoint(plane, image + person * person_size + 3 * k, arguments.rules, scratch);
}

SP_INLINE void pool(const Plane& from, const Plane& to) {
  for (int y = 0; y < to.height; ++y) {
    const float* __restrict upper = from.row(2 * y);
    const float* __restrict lower = from.row(2 * y + 1);
    float* __restrict out = to.row(y);
    for (int x = 0; x < to.width; ++x)
      out[x] = ((upper[2 * x] + upper[2 * x + 1]) + (lower[2 * x] + lower[2 * x + 1])) * 0.25f;
  }
}

// Draws plane `index` (image * channels + channel) of scale 0 and pools it down to the other scales.
SP_INLINE void render_plane(const TargetArguments& arguments, const std::vector<float*>& maps, int64_t index,
                            RenderScratch& scratch) {
  const int64_t channels = arguments.channels();
  Plane plane{maps[0] + index * arguments.height * arguments.width, arguments.height, arguments.width};
  draw_channel(plane, arguments, index / channels, static_cast<int>(index % channels), scratch);
  for (size_t scale = 1; scale < maps.size(); ++scale) {
    const int height = plane.height / 2, width = plane.width / 2;
    const Plane next{maps[scale] + index * height * width, height, width};
    pool(plane, next);
    plane = next;
  }
}

// render_plane for processors with AVX2.
void render_plane_avx2(const TargetArguments& arguments, const std::vector<float*>& maps, int64_t index,
                       RenderScratch& scratch);

}  // namespace simplepose
