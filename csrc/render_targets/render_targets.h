// render_targets: renders training target maps from the keypoints of people.
//
// Keypoints [B, P, J, 3] float32 are x, y in image pixels and COCO visibility; a keypoint is rendered if its visibility
// is above 0 and x and y are finite. Parts [L, 2] int32 are the keypoint types that each part connects. The maps of
// scale k are [B, C, H >> k, W >> k] float32 with C = L + J (2 L + J with affinity fields), or one more with the
// envelope.
//
// Channels: the parts, the keypoint types, then the envelope, which is the maximum over the keypoint channels. Cell i
// of an axis lies at pixel i * stride + stride / 2 - 0.5. Every element of the maps is written.
//
//   keypoint, ellipse  exp(-r^2 / (2 sigma^2)), below the threshold 0; maximum over people
//   keypoint, line     the same without threshold, in a window of cells; maximum over people
//   part, ellipse      exp(-d^2 / (2 sigma^2)) of the distance d from the line of its keypoints, inside or on the
//                      ellipse with semi-axes length / 2 + stride and the d where that value is the threshold, else 0;
//                      maximum over people
//   part, line         the same value in the box of its keypoints and one stride more, 0.01 where it does not exceed
//                      the threshold; mean over the people whose box covers the cell, summed in their order
//   part, field        with rules.paf: two channels, x and y of the unit vector between its keypoints, where the
//   distance
//                      from their line is at most part_radius and the foot lies between them; mean over the people that
//                      cover the cell, summed in their order (CPU only)
//   scale k > 0        2 x 2 average pool of scale k - 1: ((a + b) + (c + d)) / 4, a and b the upper row
//
// A part needs both keypoints and a length that is finite and at least 1e-15 pixels. CPU and CUDA code give the bits of
// the reference implementation.
#pragma once

#include <cstdint>
#include <vector>

#include "common/half.h"
#include "render_targets/shapes.h"

namespace simplepose {

struct TargetArguments {
  const float* keypoints;
  const int32_t* parts;
  int64_t images, people;
  int keypoint_types, part_types;
  int height, width;  // H and W of scale 0, multiples of 2^(scales - 1)
  bool envelope;
  TargetRules rules;

  int part_channels() const { return part_types * (rules.paf ? 2 : 1); }
  int channels() const { return part_channels() + keypoint_types + (envelope ? 1 : 0); }
};

// Renders on the CPU with at most `threads` threads.
void render_targets(const TargetArguments& arguments, const std::vector<float*>& maps, int threads);

// Renders on the GPU `device`, enqueued on `stream` (a cudaStream_t); all pointers are to device memory. One launch
// also pools the first kMaxFusedScales scales. Maps of float16 and bfloat16 are rounded from the float32 values, ties
// to even; they have at most kMaxFusedScales scales. Throws if the launch fails or the batch is too large for one.
void render_targets_cuda(const TargetArguments& arguments, const std::vector<void*>& maps, MapType type, int device,
                         void* stream);

}  // namespace simplepose
