// The geometry of render_targets and the value of a cell, shared by the CPU and the CUDA code.
//
// The reference implementation has the same operations in the same order. The spans of a shape are the cells that must
// be evaluated. For the ellipse shape they may contain further cells, whose value is 0; for the line shape they are
// exact.
#pragma once

#include "common/float_maths.h"

namespace simplepose {

// The fields of TargetRules in the reference; lengths are image pixels.
struct TargetRules {
  bool line;
  float stride;
  float threshold;
  float keypoint_scale;   // a keypoint's Gaussian at distance r is 2^-(keypoint_scale r)^2
  float keypoint_radius;  // distance beyond which a keypoint's Gaussian is below the threshold
  float part_scale;
  float part_radius;  // the ellipse's short semi-axis
  float part_inside;  // 1 / (part_scale part_radius)^2
  float window;       // cells on each side of a keypoint, line shape
  float inv_stride;   // 1 / stride, to find the cells that must be evaluated
  bool paf = false;   // parts are affinity fields of the width part_radius
};

constexpr float kLineFloor = 0.01f;
constexpr float kLineEpsilon = 1e-6f;
constexpr float kShortestSquared = 1e-30f;  // float32 squares below it lose precision
// Upper bound of the rounding error of a distance, relative to the coordinates from which it was computed.
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

// A part's direction in the units of the cell values.
struct PartAxis {
  float along_x, along_y;    // in semi-axes per pixel
  float across_x, across_y;  // in units of the distance d at which the Gaussian is 2^-d^2
};

// A keypoint's Gaussian or a part's ellipse or line, on the grid.
struct TargetShape {
  CellRange columns, rows;
  float x, y;  // the keypoint, or the part's center
  PartAxis axis;
  float ux, uy;  // the part's direction
  float half;    // the ellipse's long semi-axis; of an affinity field, half the part's length
  float slack;   // maximum rounding error of a distance, in pixels
};

SP_HD float smaller(float a, float b) { return a < b ? a : b; }
SP_HD float larger(float a, float b) { return a > b ? a : b; }
SP_HD float magnitude(float a) { return a < 0.0f ? -a : a; }
SP_HD bool is_finite(float a) { return (float_bits(a) & 0x7f800000) != 0x7f800000; }

// `value` if `sign` is not negative, else 0, also for NaN. It uses a bit mask: for a conditional expression a compiler
// may generate a branch around the computation of the value, which prevents vectorization.
SP_HD float where_positive(float sign, float value) {
  return bits_float(float_bits(value) & ~(float_bits(larger(sign, -1.0f)) >> 31));
}

// The image position of a cell.
SP_HD float grid(int cell, float stride) { return static_cast<float>(cell) * stride + (stride * 0.5f - 0.5f); }

// The cells of the axis from `low` to `high`, which are given in cells.
SP_HD CellRange cells_between(float low, float high, int cells) {
  const auto most = static_cast<float>(cells);
  return {static_cast<int>(ceilf(smaller(larger(low, 0.0f), most))),
          static_cast<int>(floorf(smaller(larger(high, -1.0f), most - 1.0f)))};
}

// The cells from position `low` to `high`, which are given in pixels; up to rounding.
SP_HD CellRange cells_within(float low, float high, const TargetRules& rules, int cells) {
  const float offset = rules.stride * 0.5f - 0.5f;
  return cells_between((low - offset) * rules.inv_stride, (high - offset) * rules.inv_stride, cells);
}

// Computed without branches, so that the three reads overlap.
SP_HD bool labeled(const float* keypoint) {
  const bool finite_x = is_finite(keypoint[0]), finite_y = is_finite(keypoint[1]);
  return static_cast<bool>(static_cast<int>(keypoint[2] > 0.0f) & static_cast<int>(finite_x) &
                           static_cast<int>(finite_y));
}

// The factor of one axis of a keypoint's Gaussian at a cell; the value is the product of both factors.
SP_HD float keypoint_factor(int cell, float position, const TargetRules& rules) {
  const float d = (grid(cell, rules.stride) - position) * rules.keypoint_scale;
  return exp2_minus(d * d);
}

SP_HD float keypoint_value(float along_y, float along_x, const TargetRules& rules) {
  const float value = along_y * along_x;
  return value < rules.threshold && !rules.line ? 0.0f : value;
}

SP_HD CellRange keypoint_span(float position, const TargetRules& rules, int cells) {
  if (rules.line) {
    const float center = rintf(position / rules.stride);
    return cells_between(center - rules.window, center + rules.window, cells);
  }
  const float reach = rules.keypoint_radius + rules.stride;
  return cells_within(position - reach, position + reach, rules, cells);
}

// False if no cell of the maps is in reach of the keypoint, or it is not labeled.
SP_HD bool keypoint_shape(const float* keypoint, const TargetRules& rules, int height, int width, TargetShape* shape) {
  if (!labeled(keypoint)) return false;
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

// Half the extent of the shape's ellipse along an axis; `along` is the cosine of the angle between this axis and the
// long axis of the ellipse.
SP_HD float ellipse_extent(float along, float across, const TargetShape& shape, const TargetRules& rules) {
  const float a = shape.half * along, b = rules.part_radius * across;
  return sqrtf(a * a + b * b) + shape.slack;
}

// False if the part is not drawn: a keypoint is not labeled, the part is too short, or no cell of the maps is in reach.
SP_HD bool part_shape(const float* a, const float* b, const TargetRules& rules, int height, int width,
                      TargetShape* shape) {
  const bool labeled_a = labeled(a), labeled_b = labeled(b);
  if (!labeled_a || !labeled_b) return false;
  const float dx = b[0] - a[0], dy = b[1] - a[1];
  const float squared = dx * dx + dy * dy;
  if (!(squared >= kShortestSquared) || !is_finite(squared)) return false;
  const float length = sqrtf(squared);
  const float inverse = 1.0f / (rules.line ? length + kLineEpsilon : length);
  shape->x = (a[0] + b[0]) * 0.5f;
  shape->y = (a[1] + b[1]) * 0.5f;
  shape->ux = dx * inverse;
  shape->uy = dy * inverse;
  shape->half = length * 0.5f + rules.stride;
  const float inv_half = 1.0f / shape->half;
  shape->axis = {shape->ux * inv_half, shape->uy * inv_half, shape->uy * rules.part_scale,
                 shape->ux * rules.part_scale};
  if (rules.paf) {
    shape->half = length * 0.5f;
    shape->axis = {shape->ux, shape->uy, shape->uy, shape->ux};
  }
  shape->slack = kSlack * (magnitude(shape->x) + magnitude(shape->y) + shape->half + rules.part_radius +
                           rules.stride * static_cast<float>(height + width));
  if (rules.paf) {
    const float across_x = shape->half * magnitude(shape->ux) + rules.part_radius * magnitude(shape->uy) + shape->slack;
    const float across_y = shape->half * magnitude(shape->uy) + rules.part_radius * magnitude(shape->ux) + shape->slack;
    shape->columns = cells_within(shape->x - across_x, shape->x + across_x, rules, width);
    shape->rows = cells_within(shape->y - across_y, shape->y + across_y, rules, height);
  } else if (rules.line) {
    shape->columns = line_span(a[0], b[0], rules.stride, width);
    shape->rows = line_span(a[1], b[1], rules.stride, height);
  } else {
    const float across_x = ellipse_extent(shape->ux, shape->uy, *shape, rules);
    const float across_y = ellipse_extent(shape->uy, shape->ux, *shape, rules);
    shape->columns = cells_within(shape->x - across_x, shape->x + across_x, rules, width);
    shape->rows = cells_within(shape->y - across_y, shape->y + across_y, rules, height);
  }
  return !shape->columns.empty() && !shape->rows.empty();
}

// The cells of a row that the ellipse can reach: the columns of the shape within the oriented rectangle around it.
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
  return cells_within(shape.x + low - shape.slack, shape.x + high + shape.slack, rules, width);
}

// A part's Gaussian is 2^-exponent. Here and below, (px, py) is the offset of the cell from the part's center.
SP_HD float part_exponent(const PartAxis& axis, float px, float py) {
  const float d = px * axis.across_x - py * axis.across_y;
  return d * d;
}

// Not negative inside the ellipse; NaN for parts that are too far away for float32.
SP_HD float ellipse_inside(const PartAxis& axis, float px, float py, float exponent, const TargetRules& rules) {
  const float t = px * axis.along_x + py * axis.along_y;
  return 1.0f - (t * t + exponent * rules.part_inside);
}

SP_HD float ellipse_value(const PartAxis& axis, float px, float py, const TargetRules& rules) {
  const float exponent = part_exponent(axis, px, py);
  return where_positive(ellipse_inside(axis, px, py, exponent, rules), exp2_minus(exponent));
}

// Whether a part's affinity field covers a cell.
SP_HD bool field_covers(const TargetShape& shape, float px, float py, const TargetRules& rules) {
  const float t = px * shape.axis.along_x + py * shape.axis.along_y;
  const float d = px * shape.axis.across_x - py * shape.axis.across_y;
  return magnitude(t) <= shape.half && magnitude(d) <= rules.part_radius;
}

SP_HD float line_value(const PartAxis& axis, float px, float py, const TargetRules& rules) {
  const float value = exp2_minus(part_exponent(axis, px, py));
  return value > rules.threshold ? value : kLineFloor;
}

}  // namespace simplepose
