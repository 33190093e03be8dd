// Launches the decoding kernels for maps whose type is known only at run time. A Launcher runs a kernel:
// launcher.launch(op, kernel) enqueues it on a stream of a GPU, or emulates it.
#pragma once

#include <stdexcept>
#include <type_traits>

#include "find_peaks/find_peaks_kernel.h"
#include "match_parts/match_parts_kernel.h"

namespace simplepose {

// A MapBatch whose element type is known at run time only; with `flip` it has 2 x images x channels maps.
struct AnyMaps {
  const void* cells;
  MapType type;
  bool flip;
  int64_t images;
  int channels, rows, columns;
  const int32_t* sizes = nullptr;   // [images, 2]; null: the whole maps
  const int32_t* mirror = nullptr;  // [channels] with flip
};

template <typename Value, bool kFlip>
MapBatch<Value, kFlip> typed(const AnyMaps& maps) {
  MapBatch<Value, kFlip> batch;
  const int64_t planes = maps.images * (kFlip ? 2 : 1) * maps.channels;
  batch.cells = Span<const Value>(static_cast<const Value*>(maps.cells), planes * maps.rows * maps.columns);
  batch.sizes = Span<const int32_t>(maps.sizes, maps.sizes ? 2 * maps.images : 0);
  batch.mirror = Span<const int32_t>(maps.mirror, kFlip ? maps.channels : 0);
  batch.images = maps.images;
  batch.channels = maps.channels, batch.rows = maps.rows, batch.columns = maps.columns;
  const int64_t lanes = Vector<Value>::kLanes, row_cells = (maps.columns + lanes - 1) / lanes * lanes;
  if (maps.rows * row_cells > 0x7fffffff) throw std::invalid_argument("maps: too large for one launch");
  batch.by_row = Divisor(row_cells);
  batch.aligned = reinterpret_cast<uintptr_t>(maps.cells) % 16 == 0 && maps.columns % Vector<Value>::kLanes == 0;
  return batch;
}

template <typename Use>
void with_type(const AnyMaps& maps, Use&& use) {
  switch (maps.type) {
    case MapType::kFloat32:
      return maps.flip ? use(typed<float, true>(maps)) : use(typed<float, false>(maps));
    case MapType::kFloat16:
      return maps.flip ? use(typed<Half, true>(maps)) : use(typed<Half, false>(maps));
    case MapType::kBFloat16:
      return maps.flip ? use(typed<BFloat, true>(maps)) : use(typed<BFloat, false>(maps));
  }
}

struct PeakRules {
  float threshold;
  int max_peaks;
};

struct PartRules {
  float threshold;
  int samples, needed;
};

// Keypoint type 0 is channel `first_channel`.
template <typename Launcher>
void launch_find_peaks(Launcher& launcher, const AnyMaps& maps, int first_channel, int keypoints,
                       const PeakRules& rules, float* slots, int32_t* counts) {
  const int64_t planes = maps.images * keypoints;
  with_type(maps, [&](const auto& batch) {
    using Batch = std::decay_t<decltype(batch)>;
    using Kernel = FindPeaksKernel<typename Batch::Element, Batch::kMirrored>;
    Kernel kernel;
    kernel.maps = batch;
    kernel.first_channel = first_channel, kernel.keypoints = keypoints;
    kernel.by_keypoints = Divisor(keypoints);
    kernel.threshold = rules.threshold, kernel.max_peaks = rules.max_peaks;
    kernel.capacity = Kernel::least_capacity(rules.max_peaks);
    kernel.peaks.slots = {slots, 3 * rules.max_peaks * planes};
    kernel.peaks.counts = {counts, planes};
    launcher.launch("find_peaks", kernel);
  });
}

// Part type 0 is channel 0; parts [part_types, 2]; slots and counts are those of find_peaks.
template <typename Launcher>
void launch_match_parts(Launcher& launcher, const AnyMaps& maps, const int32_t* parts, int part_types, int keypoints,
                        const PartRules& rules, float* slots, int32_t* counts, int max_peaks,
                        const PackedHits& packed) {
  const int64_t planes = maps.images * keypoints;
  with_type(maps, [&](const auto& batch) {
    using Batch = std::decay_t<decltype(batch)>;
    MatchPartsKernel<typename Batch::Element, Batch::kMirrored> kernel;
    kernel.maps = batch;
    kernel.parts = {parts, 2 * part_types};
    kernel.part_types = part_types, kernel.keypoints = keypoints;
    kernel.peaks.slots = {slots, 3 * max_peaks * planes};
    kernel.peaks.counts = {counts, planes};
    kernel.max_peaks = max_peaks;
    kernel.threshold = rules.threshold, kernel.samples = rules.samples, kernel.needed = rules.needed;
    kernel.packed = packed;
    launcher.launch("match_parts", kernel);
  });
}

}  // namespace simplepose
