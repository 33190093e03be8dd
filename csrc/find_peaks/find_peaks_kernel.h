// find_peaks as a kernel: one block per map. It scans the map in rounds, tests the cells that may be peaks, and sorts
// the peaks.
//
// In a round every thread evaluates the cells that it loaded before. As soon as it has evaluated 16 bytes of them, it
// loads the 16 bytes that replace them in the next round, so that loads and evaluation overlap. A vector of 16 bytes
// with a cell that reaches the threshold is noted in shared memory; then all threads share the tests of the noted
// vectors. Peaks are (score, cell) keys in a list. The list is cut to the best max_peaks whenever the next round could
// overflow it, so maps of any size and with any noise are handled. Keys arrive in any order, but they are distinct and
// sorted at the end, so the result does not depend on the order.
#pragma once

#include "cuda/kernel.h"
#include "cuda/map_batch.h"
#include "find_peaks/find_peaks.h"
#include "find_peaks/peak_slots.h"

namespace simplepose {

template <typename Value, bool kFlip>
struct FindPeaksKernel {
  using View = MapView<Value, kFlip>;
  static constexpr int kThreads = 128, kMinBlocks = 5;
  static constexpr int kLanes = View::kLanes;
  static constexpr int kLoads = (kFlip ? 16 : 32) / kLanes;  // independent loads of a thread in a round
  static constexpr int kVectors = kThreads * kLoads;         // vectors of a round
  static constexpr int kMostPeaks = kLanes / 2;              // peaks of a vector: of two neighbors, at most one

  MapBatch<Value, kFlip> maps;
  int first_channel, keypoints;
  Divisor by_keypoints;
  float threshold;
  int max_peaks;
  int capacity;  // of the list of keys: at least least_capacity(max_peaks)
  PeakSlots peaks;

  struct Shared {
    int noted, kept;
    bool truncated;
    Fixed<int32_t, kVectors> vectors;  // the noted vectors
  };
  struct Local {
    int next;  // the next vector to evaluate; kLoads vectors are loaded, kThreads apart
    typename View::Raw raw[kLoads];
  };

  static int least_capacity(int max_peaks) { return max_peaks + kVectors * kMostPeaks; }
  int64_t blocks() const { return maps.images * keypoints; }
  int64_t dynamic_bytes() const { return capacity * int64_t{sizeof(uint64_t)}; }

  template <bool kAligned>
  SP_HD static void load(const View& map, int vector, typename View::Raw& raw) {
    if (vector < map.vectors()) raw = map.template load<kAligned>(vector * kLanes);
  }

  template <bool kAligned>
  SP_HD static void load_first(const View& map, Local& local) {
    SP_UNROLL
    for (int i = 0; i < kLoads; ++i) load<kAligned>(map, local.next + i * kThreads, local.raw[i]);
  }

  // Evaluates the loaded vectors, and loads their replacements for the next round.
  template <bool kAligned>
  SP_HD void scan(const View& map, Local& local, Shared& shared) const {
    SP_UNROLL
    for (int i = 0; i < kLoads; ++i) {
      const int vector = local.next + i * kThreads;
      if (vector < map.vectors()) {
        float most = View::lane(local.raw[i], 0);
        SP_UNROLL
        for (int lane = 1; lane < kLanes; ++lane) most = fmaxf(most, View::lane(local.raw[i], lane));  // ignores NaN
        if (most >= threshold) shared.vectors[fetch_add(shared.noted, 1)] = vector;
      }
      load<kAligned>(map, vector + kVectors, local.raw[i]);
    }
    local.next += kVectors;
  }

  // Appends the peaks among the cells of a noted vector to the list.
  SP_HD void test(const View& map, int vector, const Span<uint64_t>& keys, Shared& shared) const {
    const int cell = vector * kLanes, y = map.row_of(cell), x = map.column_of(cell, y);
    const typename View::Raw raw = map.template load<false>(cell);
    float values[kLanes];
    SP_UNROLL
    for (int lane = 0; lane < kLanes; ++lane)
      values[lane] = x + lane < map.width ? finite(View::lane(raw, lane)) : 0.0f;  // a value of 0 is never a peak
    unsigned highest = 0;  // one bit per cell: whether it precedes its neighbors in the vector
    SP_UNROLL
    for (int lane = 0; lane < kLanes; ++lane) {
      bool wins = values[lane] >= threshold;
      if (lane > 0) wins &= values[lane] > values[lane - 1];
      if (lane + 1 < kLanes) wins &= values[lane] >= values[lane + 1];
      highest |= static_cast<unsigned>(wins) << lane;
    }
    for (; highest != 0; highest &= highest - 1) {
      const int lane = lowest_bit(highest);
      if (!is_peak(map, map.height, map.width, y, x + lane)) continue;
      keys[fetch_add(shared.kept, 1)] =
          uint64_t{descending_bits(map(y, x + lane))} << 32 | static_cast<uint32_t>(cell + lane);
    }
  }

  // Sorts keys[0, count) in ascending order by a bitonic network. All exchanges put the smaller key first.
  // Padding keys beyond the end would be the largest and never move, so they are omitted.
  template <typename Block>
  SP_HD static void sort(Block& block, const Span<uint64_t>& keys, int count) {
    for (int size = 2; size / 2 < count; size *= 2) {
      for (int step = size / 2; step > 0; step /= 2) {
        const int mask = step == size / 2 ? size - 1 : step;
        block.each([&](int thread, Local&, Shared&) {
          for (int i = thread; 2 * i - (i & (step - 1)) < count; i += kThreads) {
            const int low = 2 * i - (i & (step - 1)), high = low ^ mask;
            if (high >= count || keys[low] <= keys[high]) continue;
            const uint64_t key = keys[low];
            keys[low] = keys[high];
            keys[high] = key;
          }
        });
      }
    }
  }

  // Sorts the list and cuts it to max_peaks; returns the number of keys that remain.
  template <typename Block>
  SP_HD int keep_best(Block& block, const Span<uint64_t>& keys, int count) const {
    sort(block, keys, count);
    const int kept = count < max_peaks ? count : max_peaks;
    block.each([&](int thread, Local&, Shared& shared) {
      if (thread == 0) shared.kept = kept, shared.truncated |= kept < count;
    });
    return kept;
  }

  SP_HD static float offset(const View& map, int y, int x, int dy, int dx) {
    if (y < dy || x < dx || y + dy >= map.height || x + dx >= map.width) return 0.0f;
    return parabola_vertex(floored_log(finite(map(y - dy, x - dx))), floored_log(finite(map(y, x))),
                           floored_log(finite(map(y + dy, x + dx))));
  }

  SP_HD void write(const View& map, int64_t plane, int place, uint64_t key) const {
    const auto cell = static_cast<int>(key & 0xffffffffu);
    const int y = map.row_of(cell), x = map.column_of(cell, y);
    const int64_t slot = 3 * (place * maps.images * keypoints + plane);
    peaks.slots[slot] = static_cast<float>(x) + offset(map, y, x, 0, 1);
    peaks.slots[slot + 1] = static_cast<float>(y) + offset(map, y, x, 1, 0);
    peaks.slots[slot + 2] = finite(map(y, x));
  }

  // Writes the best max_peaks of the list. A few keys are placed by counting the smaller ones, which takes one phase; a
  // sort takes dozens of phases.
  template <typename Block>
  SP_HD void finish(Block& block, const View& map, int64_t plane, const Span<uint64_t>& keys, int count) const {
    const bool few = count <= kThreads;
    const int kept = few ? (count < max_peaks ? count : max_peaks) : keep_best(block, keys, count);
    block.each([&](int thread, Local&, Shared& shared) {
      if (thread == 0) peaks.counts[plane] = kept + (shared.truncated || kept < count ? 1 : 0);
      if (!few) {
        for (int i = thread; i < kept; i += kThreads) write(map, plane, i, keys[i]);
      } else if (thread < count) {
        int place = 0;
        for (int i = 0; i < count; ++i) place += keys[i] < keys[thread] ? 1 : 0;
        if (place < kept) write(map, plane, place, keys[thread]);
      }
    });
  }

  template <typename Block>
  SP_HD void run(Block& block) const {
    const auto plane = static_cast<unsigned>(block.index()), image = by_keypoints.quotient(plane);
    const View map = maps.view(image, first_channel + static_cast<int>(by_keypoints.rest(plane, image)));
    const Span<uint64_t> keys = block.template dynamic<uint64_t>(0, capacity);
    block.each([&](int thread, Local& local, Shared& shared) {
      if (thread == 0) shared.noted = 0, shared.kept = 0, shared.truncated = false;
      local.next = thread;
      map.aligned ? load_first<true>(map, local) : load_first<false>(map, local);
    });
    int kept = 0;
    for (int first = 0; first < map.vectors(); first += kVectors) {
      block.each([&](int, Local& local, Shared& shared) {
        map.aligned ? scan<true>(map, local, shared) : scan<false>(map, local, shared);
      });
      const int noted = block.read([](const Shared& shared) { return shared.noted; });
      if (noted == 0) continue;
      if (kept + noted * kMostPeaks > capacity) kept = keep_best(block, keys, kept);
      block.each([&](int thread, Local&, Shared& shared) {
        if (thread == 0) shared.noted = 0;
        for (int i = thread; i < noted; i += kThreads) test(map, shared.vectors[i], keys, shared);
      });
      kept = block.read([](const Shared& shared) { return shared.kept; });
    }
    finish(block, map, plane, keys, kept);
  }
};

}  // namespace simplepose
