// match_parts as a kernel: one block per image and part type; a thread processes one pair of peaks at a time.
//
// Accepted pairs are gathered in shared memory, in order. When all are known, the block reserves a segment of the
// packed output with one atomic addition and writes them there. A block with more accepted pairs than shared memory has
// room for samples its pairs again and writes directly. The position of a segment depends on the order of the blocks;
// its content does not.
#pragma once

#include "cuda/integers.h"
#include "cuda/kernel.h"
#include "cuda/map_batch.h"
#include "find_peaks/peak_slots.h"
#include "match_parts/match_parts.h"

namespace simplepose {

// A pair of peaks of a part type: from-peak times the number of to-peaks plus to-peak, counted within their types.
struct PairHit {
  int32_t pair;
  float response;
};

// The output of the blocks. Nothing beyond the end of `hits` is written; `total` is the length that is needed.
struct PackedHits {
  Span<unsigned long long> total;  // [1] 0 before the launch
  Span<int64_t> first;             // [images, parts] the first hit of the block's segment
  Span<int32_t> counts;            // [images, parts]
  Span<PairHit> hits;
};

template <typename Value, bool kFlip>
struct MatchPartsKernel {
  using View = MapView<Value, kFlip>;
  static constexpr int kThreads = 128, kMinBlocks = 8;
  static constexpr int kWords = kThreads / 32;
  static constexpr int kStaged = 512;
  static constexpr int kGroup = 4;  // samples read at once

  MapBatch<Value, kFlip> maps;
  Span<const int32_t> parts;  // [part_types, 2] the keypoint types of each part
  int part_types, keypoints;
  PeakSlots peaks;
  int max_peaks;
  float threshold;
  int samples, needed;
  PackedHits packed;

  struct Shared {
    int64_t first;
    Fixed<unsigned, kWords> accepted;  // one bit per thread
    Fixed<float, kMaxSamples> positions;
    Fixed<PairHit, kStaged> staged;
  };
  struct Local {
    bool accepted;
    PairHit hit;
  };

  // A part type of an image.
  struct Part {
    View map;
    int64_t from, to;  // the planes of the keypoint types, image * keypoints + type
    int to_count, pairs;
  };

  int64_t blocks() const { return maps.images * part_types; }
  int64_t dynamic_bytes() const { return 0; }

  SP_HD int count(int64_t plane) const {
    const int found = peaks.counts[plane];
    return found < max_peaks ? found : max_peaks;
  }

  SP_HD Part part_of(int64_t block) const {
    const int64_t image = block / part_types;
    const int type = static_cast<int>(block % part_types);
    Part part;
    part.map = maps.view(image, type);
    part.from = image * keypoints + parts[2 * type];
    part.to = image * keypoints + parts[2 * type + 1];
    part.to_count = count(part.to);
    part.pairs = count(part.from) * part.to_count;
    return part;
  }

  SP_HD const float* peak(int64_t plane, int place) const {
    return peaks.slots.at(3 * (place * maps.images * keypoints + plane), 3);
  }

  // Whether enough samples along a pair exceed the threshold; the response is their mean, added in order.
  SP_HD bool sample(const Part& part, int pair, Shared& shared, float* response) const {
    const float* a = peak(part.from, pair / part.to_count);
    const float* b = peak(part.to, pair % part.to_count);
    const float ax = a[0], ay = a[1], bx = b[0], by = b[1];
    const auto last_x = static_cast<float>(part.map.width - 1), last_y = static_cast<float>(part.map.height - 1);
    float total = 0.0f;
    int failed = 0;
    for (int first = 0; first < samples; first += kGroup) {
      float values[kGroup];
      for (int i = 0; i < kGroup; ++i) {
        const float t = shared.positions[first + i < samples ? first + i : samples - 1];
        values[i] = bilinear(part.map, part.map.height, part.map.width, sample_position(ax, bx, t, last_x),
                             sample_position(ay, by, t, last_y));
      }
      for (int i = 0; i < kGroup; ++i) {
        if (first + i >= samples) break;
        total = total + values[i];
        failed += values[i] > threshold ? 0 : 1;
      }
      if (failed > samples - needed) return false;
    }
    *response = total / static_cast<float>(samples);
    return true;
  }

  // Calls sink(place, hit, shared) for every accepted pair, where `place` counts them in order; returns their number.
  template <typename Block, typename Sink>
  SP_HD int for_accepted(Block& block, const Part& part, Sink&& sink) const {
    int before = 0;
    for (int first = 0; first < part.pairs; first += kThreads) {
      block.each([&](int thread, Local& local, Shared& shared) {
        local.hit.pair = first + thread;
        local.accepted = local.hit.pair < part.pairs && sample(part, local.hit.pair, shared, &local.hit.response);
        if (local.accepted) fetch_or(shared.accepted[thread / 32], 1u << thread % 32);
      });
      block.each([&](int thread, Local& local, Shared& shared) {
        if (!local.accepted) return;
        int place = before + count_bits(shared.accepted[thread / 32] & ((1u << thread % 32) - 1));
        for (int word = 0; word < thread / 32; ++word) place += count_bits(shared.accepted[word]);
        sink(place, local.hit, shared);
      });
      before += block.read([](const Shared& shared) {
        int sum = 0;
        for (const unsigned word : shared.accepted.elements) sum += count_bits(word);
        return sum;
      });
      block.each([&](int thread, Local&, Shared& shared) {
        if (thread < kWords) shared.accepted[thread] = 0;
      });
    }
    return before;
  }

  template <typename Block>
  SP_HD void run(Block& block) const {
    const Part part = part_of(block.index());
    block.each([&](int thread, Local&, Shared& shared) {
      if (thread < kWords) shared.accepted[thread] = 0;
      if (thread < samples) shared.positions[thread] = static_cast<float>(thread) / static_cast<float>(samples - 1);
    });
    const int count = for_accepted(block, part, [&](int place, const PairHit& hit, Shared& shared) {
      if (place < kStaged) shared.staged[place] = hit;
    });
    block.each([&](int thread, Local&, Shared& shared) {
      if (thread != 0) return;
      shared.first = 0;
      if (count) shared.first = fetch_add(packed.total[0], static_cast<unsigned long long>(count));
      packed.first[block.index()] = shared.first;
      packed.counts[block.index()] = count;
    });
    const int64_t first = block.read([](const Shared& shared) { return shared.first; });
    if (first + count > packed.hits.size()) return;
    if (count <= kStaged) {
      block.each([&](int thread, Local&, Shared& shared) {
        for (int i = thread; i < count; i += kThreads) packed.hits[first + i] = shared.staged[i];
      });
    } else {
      for_accepted(block, part, [&](int place, const PairHit& hit, Shared&) { packed.hits[first + place] = hit; });
    }
  }
};

}  // namespace simplepose
