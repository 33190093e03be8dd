// The geometry and the per-cell maths of render_targets, shared by the CPU and the CUDA code.
//
// simplepose/reference/render_targets.py holds the same operations in the same order. A shape's spans only say which
// cells need a look: for the ellipse shape they are generous and the value decides, for the line shape they are exact.
#pragma once

#include "hd.h"

namespace simplepose {

// The fields of TargetRules in the reference; lengths are image pixels.
struct TargetRules {
  bool line;
  float stride;
  float threshold;
  float keypoint_inv;     // 1 / (2 sigma^2)
  float keypoint_radius;  // where a keypoint's Gaussian lies safely below the threshold
  float part_inv;
  float part_radius;  // the ellipse's short semi-axis
  float part_inv_b2;
  float window;  // cells on each side of a keypoint, line shape
};

constexpr float kLineFloor = 0.01f;
constexpr float kLineEpsilon = 1e-6f;
// Float32 arithmetic moves a distance by less than this share of the coordinates that it was made from.
constexpr float kSlack = 4e-6f;
// A direction cosine below this does not bound a row.
constexpr float kFlat = 1e-3f;

// Cells of one axis, both ends included.
struct CellRange {
  int first, last;
  SP_HD bool empty() const { return first > last; }
  SP_HD bool has(int cell) const { return first <= cell && cell <= last; }
  SP_HD CellRange cut(CellRange to) const {
    return {first > to.first ? first : to.first, last < to.last ? last : to.last};
  }
};

// A keypoint's Gaussian or a part's ellipse or line, on the grid.
struct TargetShape {
  CellRange columns, rows;
  float x, y;    // the keypoint, or the part's centre
  float ux, uy;  // the part's axis
  float half;    // the ellipse's long semi-axis
  float inv_a2;  // 1 / half^2
  float slack;   // pixels that rounding can move a distance by
};

SP_HD float smaller(float a, float b) { return a < b ? a : b; }
SP_HD float larger(float a, float b) { return a > b ? a : b; }
SP_HD float magnitude(float a) { return a < 0.0f ? -a : a; }
SP_HD bool is_finite(float a) { return (float_bits(a) & 0x7f800000) != 0x7f800000; }

// `value` where `sign` is not negative, else 0. A mask, since a compiler may make a choice a jump around the work
// for the value, which keeps it from using vectors.
SP_HD float where_positive(float sign, float value) {
  return bits_float(float_bits(value) & ~(float_bits(sign) >> 31));
}

// The image position of a cell.
SP_HD float grid(int cell, float stride) { return static_cast<float>(cell) * stride + (stride * 0.5f - 0.5f); }

// The cells from `low` to `high`, given in cells, that the axis has.
SP_HD CellRange cells_between(float low, float high, int cells) {
  const auto most = static_cast<float>(cells);
  return {static_cast<int>(ceilf(smaller(larger(low, 0.0f), most))),
          static_cast<int>(floorf(smaller(larger(high, -1.0f), most - 1.0f)))};
}

// The cells from position `low` to `high`, given in pixels.
SP_HD CellRange cells_within(float low, float high, float stride, int cells) {
  const float offset = stride * 0.5f - 0.5f;
  return cells_between((low - offset) / stride, (high - offset) / stride, cells);
}

SP_HD bool labelled(const float* keypoint) {
  return keypoint[2] > 0.0f && is_finite(keypoint[0]) && is_finite(keypoint[1]);
}

// One axis of a keypoint's Gaussian at a cell; the value is the product of both.
SP_HD float keypoint_factor(int cell, float position, const TargetRules& rules) {
  const float d = grid(cell, rules.stride) - position;
  return exp32(-(d * d) * rules.keypoint_inv);
}

SP_HD float keypoint_value(float along_y, float along_x, const TargetRules& rules) {
  const float value = along_y * along_x;
  return value < rules.threshold && !rules.line ? 0.0f : value;
}

SP_HD CellRange keypoint_span(float position, const TargetRules& rules, int cells) {
  if (rules.line) {
    const float centre = rintf(position / rules.stride);
    return cells_between(centre - rules.window, centre + rules.window, cells);
  }
  const float reach = rules.keypoint_radius + rules.stride;
  return cells_within(position - reach, position + reach, rules.stride, cells);
}

// False if nothing of the keypoint falls on the maps.
SP_HD bool keypoint_shape(const float* keypoint, const TargetRules& rules, int height, int width, TargetShape* shape) {
  if (!labelled(keypoint)) return false;
  *shape = {};
  shape->x = keypoint[0];
  shape->y = keypoint[1];
  shape->columns = keypoint_span(shape->x, rules, width);
  shape->rows = keypoint_span(shape->y, rules, height);
  return !shape->columns.empty() && !shape->rows.empty();
}

SP_HD CellRange line_span(float a, float b, float stride, int cells) {
  const float low = rintf((smaller(a, b) - stride) / stride);
  const float high = rintf((larger(a, b) + stride) / stride);
  return cells_between(low, high, cells);
}

// Half the extent of the shape's ellipse along the axis of which its long axis has the cosine `along`.
SP_HD float ellipse_extent(float along, float across, const TargetShape& shape, const TargetRules& rules) {
  const float a = shape.half * along, b = rules.part_radius * across;
  return sqrtf(a * a + b * b) + shape.slack;
}

// False if the part is not drawn: an end unlabelled, no length, or nothing of it on the maps.
SP_HD bool part_shape(const float* a, const float* b, const TargetRules& rules, int height, int width,
                      TargetShape* shape) {
  if (!labelled(a) || !labelled(b)) return false;
  const float dx = b[0] - a[0], dy = b[1] - a[1];
  const float length = sqrtf(dx * dx + dy * dy);
  if (!(length > 0.0f) || !is_finite(length)) return false;
  const float divisor = rules.line ? length + kLineEpsilon : length;
  shape->x = (a[0] + b[0]) * 0.5f;
  shape->y = (a[1] + b[1]) * 0.5f;
  shape->ux = dx / divisor;
  shape->uy = dy / divisor;
  shape->half = length * 0.5f + rules.stride;
  shape->inv_a2 = 1.0f / (shape->half * shape->half);
  shape->slack = kSlack * (magnitude(shape->x) + magnitude(shape->y) + shape->half + rules.part_radius +
                           rules.stride * static_cast<float>(height + width));
  if (rules.line) {
    shape->columns = line_span(a[0], b[0], rules.stride, width);
    shape->rows = line_span(a[1], b[1], rules.stride, height);
  } else {
    const float across_x = ellipse_extent(shape->ux, shape->uy, *shape, rules);
    const float across_y = ellipse_extent(shape->uy, shape->ux, *shape, rules);
    shape->columns = cells_within(shape->x - across_x, shape->x + across_x, rules.stride, width);
    shape->rows = cells_within(shape->y - across_y, shape->y + across_y, rules.stride, height);
  }
  return !shape->columns.empty() && !shape->rows.empty();
}

// The cells of a row that the ellipse can reach: those of its columns in the rectangle around it.
SP_HD CellRange ellipse_row(const TargetShape& shape, int row, const TargetRules& rules, int width) {
  const float py = grid(row, rules.stride) - shape.y;
  const float a = shape.half + shape.slack, b = rules.part_radius + shape.slack;
  float low = grid(shape.columns.first, rules.stride) - shape.x;
  float high = grid(shape.columns.last, rules.stride) - shape.x;
  if (magnitude(shape.uy) > kFlat) {  // |px uy - py ux| <= b
    const float middle = py * shape.ux / shape.uy, reach = b / magnitude(shape.uy);
    low = larger(low, middle - reach);
    high = smaller(high, middle + reach);
  }
  if (magnitude(shape.ux) > kFlat) {  // |px ux + py uy| <= a
    const float middle = -(py * shape.uy) / shape.ux, reach = a / magnitude(shape.ux);
    low = larger(low, middle - reach);
    high = smaller(high, middle + reach);
  }
  return cells_within(shape.x + low - shape.slack, shape.x + high + shape.slack, rules.stride, width);
}

// A cell as an ellipse sees it: the distance from the axis, and a number that is negative outside, or NaN for parts
// that are too far off for float32.
struct EllipsePoint {
  float distance, inside;
  SP_HD bool outside() const { return !(inside >= 0.0f); }
};

SP_HD EllipsePoint ellipse_point(const TargetShape& shape, float px, float py, const TargetRules& rules) {
  const float t = px * shape.ux + py * shape.uy;
  const float d = px * shape.uy - py * shape.ux;
  return {d, 1.0f - ((t * t) * shape.inv_a2 + (d * d) * rules.part_inv_b2)};
}

SP_HD float ellipse_value(const EllipsePoint& point, const TargetRules& rules) {
  return where_positive(point.inside, exp32(-(point.distance * point.distance) * rules.part_inv));
}

// The value of a part at a cell that lies (px, py) from its centre.
SP_HD float ellipse_value(const TargetShape& shape, float px, float py, const TargetRules& rules) {
  return ellipse_value(ellipse_point(shape, px, py, rules), rules);
}

SP_HD float line_value(const TargetShape& shape, float px, float py, const TargetRules& rules) {
  const float d = px * shape.uy - py * shape.ux;
  const float value = exp32(-(d * d) * rules.part_inv);
  return value > rules.threshold ? value : kLineFloor;
}

}  // namespace simplepose
