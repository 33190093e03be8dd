// find_peaks as a kernel: one block a map, which scans it in rounds, tests what could be a peak, and sorts the peaks.
//
// In a round every thread evaluates the cells that it loaded before and, as soon as it has seen 16 bytes of them, loads
// those that take their place in the next round, so that memory works through the tests. What reaches the threshold and
// beats its neighbours in the same 16 bytes is noted in shared memory; then all threads share the full tests of these
// few cells. Peaks are (score, cell) keys in a list that is cut back to the best max_peaks whenever the next round
// could overflow it, so that maps of any size and any noise pass. The order in which keys arrive is left to chance;
// they differ, and the sort at the end settles it.
#pragma once

#include <cfloat>

#include "find_peaks.h"
#include "map_batch.h"

namespace simplepose {

// Slots [max_peaks, images, keypoints, 3] of x, y and score: slot 0 of all maps, then slot 1, so that the slots in use
// are one piece of memory. Slots beyond a map's count are left as they are.
struct PeakSlots {
  Span<float> slots;
  Span<int32_t> counts;  // [images, keypoints]; max_peaks + 1 where peaks were cut
};

template <typename Value, bool kFlip>
struct FindPeaksKernel {
  using View = MapView<Value, kFlip>;
  static constexpr int kThreads = 128, kMinBlocks = 5;
  static constexpr int kLanes = View::kLanes;
  static constexpr int kLoads = (kFlip ? 16 : 32) / kLanes;          // independent ones of a thread in a round
  static constexpr int kMostFound = kThreads * kLoads * kLanes / 2;  // of two neighbours one is beaten

  MapBatch<Value, kFlip> maps;
  int first_channel, keypoints;
  float threshold;
  int max_peaks;
  int capacity;  // of the list: at least least_capacity(max_peaks)
  PeakSlots peaks;
  Span<float> averaged;  // [images, keypoints, rows, columns] receives the averaged maps' cells; empty: not wanted

  struct Shared {
    int found, kept;
    bool truncated;
    Fixed<int32_t, kMostFound> cells;  // y * width + x
  };
  struct Local {
    int y, x;            // of the next cells to evaluate
    int load_y, load_x;  // of the next cells to load, kLoads steps ahead
    typename View::Raw raw[kLoads];
  };

  static int least_capacity(int max_peaks) { return max_peaks + kMostFound; }
  int64_t blocks() const { return maps.images * keypoints; }
  int64_t dynamic_bytes() const { return static_cast<int64_t>(capacity) * static_cast<int64_t>(sizeof(uint64_t)); }

  // A thread's place in a walk over the map, kThreads vectors a step.
  struct Walk {
    int step_y, step_x, end_x;

    SP_HD explicit Walk(const View& map) {
      const int vectors = (map.width + kLanes - 1) / kLanes;
      step_y = kThreads / vectors;
      step_x = kThreads % vectors * kLanes;
      end_x = vectors * kLanes;
    }
    SP_HD void advance(int* y, int* x) const {
      *y += step_y;
      *x += step_x;
      if (*x >= end_x) *x -= end_x, *y += 1;
    }
  };

  SP_HD static void load(const View& map, const Walk& walk, Local& local, typename View::Raw& raw) {
    if (local.load_y < map.height) raw = map.load(local.load_y, local.load_x);
    walk.advance(&local.load_y, &local.load_x);
  }

  // Notes which of the kLanes cells from (y, x) on may be peaks.
  SP_HD void scan(const View& map, int64_t plane, int y, int x, const typename View::Raw& raw, Shared& shared) const {
    float values[kLanes];
    bool reached = false;
    for (int lane = 0; lane < kLanes; ++lane) {
      values[lane] = View::lane(raw, lane);
      reached |= values[lane] >= threshold;
    }
    if (averaged.size()) {
      const int64_t row = (plane * maps.rows + y) * maps.columns;
      for (int lane = 0; lane < kLanes; ++lane) {
        if (x + lane < map.width) averaged[row + x + lane] = values[lane];
      }
    }
    if (!reached) return;
    for (int lane = 0; lane < kLanes; ++lane) {
      if (x + lane >= map.width) break;
      const float value = finite(values[lane]);
      if (!(value >= threshold)) continue;
      if (lane > 0 && finite(values[lane - 1]) >= value) continue;
      if (lane + 1 < kLanes && x + lane + 1 < map.width && finite(values[lane + 1]) > value) continue;
      shared.cells[fetch_add(shared.found, 1)] = y * map.width + x + lane;
    }
  }

  // Sorts keys[0, count) upwards: a bitonic network whose exchanges all put the smaller key first, so that keys beyond
  // the end, which would be the largest, need not be there.
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

  // Sorts the list and cuts it to max_peaks; how many there are then.
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
    const auto cell = static_cast<int32_t>(key & 0xffffffffu);
    const int y = cell / map.width, x = cell % map.width;
    const int64_t slot = 3 * (place * maps.images * keypoints + plane);
    peaks.slots[slot] = static_cast<float>(x) + offset(map, y, x, 0, 1);
    peaks.slots[slot + 1] = static_cast<float>(y) + offset(map, y, x, 1, 0);
    peaks.slots[slot + 2] = finite(map(y, x));
  }

  template <typename Block>
  SP_HD void run(Block& block) const {
    const int64_t plane = block.index();
    const View map = maps.view(plane / keypoints, first_channel + static_cast<int>(plane % keypoints));
    const Walk walk(map);
    const Span<uint64_t> keys = block.template dynamic<uint64_t>(0, capacity);
    block.each([&](int thread, Local& local, Shared& shared) {
      if (thread == 0) shared.found = 0, shared.kept = 0, shared.truncated = false;
      local.y = local.load_y = thread * kLanes / walk.end_x;
      local.x = local.load_x = thread * kLanes % walk.end_x;
      SP_UNROLL
      for (int i = 0; i < kLoads; ++i) load(map, walk, local, local.raw[i]);
    });
    int kept = 0;
    const int64_t vectors = static_cast<int64_t>(walk.end_x / kLanes) * map.height;
    for (int64_t first = 0; first < vectors; first += kThreads * kLoads) {
      block.each([&](int, Local& local, Shared& shared) {
        SP_UNROLL
        for (int i = 0; i < kLoads; ++i) {
          if (local.y < map.height) scan(map, plane, local.y, local.x, local.raw[i], shared);
          walk.advance(&local.y, &local.x);
          load(map, walk, local, local.raw[i]);
        }
      });
      const int found = block.read([](const Shared& shared) { return shared.found; });
      if (found == 0) continue;
      if (kept + found > capacity) kept = keep_best(block, keys, kept);
      block.each([&](int thread, Local&, Shared& shared) {
        if (thread == 0) shared.found = 0;
        for (int i = thread; i < found; i += kThreads) {
          const int32_t cell = shared.cells[i];
          const int y = cell / map.width, x = cell % map.width;
          if (!is_peak(map, map.height, map.width, y, x)) continue;
          keys[fetch_add(shared.kept, 1)] =
              static_cast<uint64_t>(descending_bits(map(y, x))) << 32 | static_cast<uint32_t>(cell);
        }
      });
      kept = block.read([](const Shared& shared) { return shared.kept; });
    }
    kept = keep_best(block, keys, kept);
    block.each([&](int thread, Local&, Shared& shared) {
      if (thread == 0) peaks.counts[plane] = kept + (shared.truncated ? 1 : 0);
      for (int i = thread; i < kept; i += kThreads) write(map, plane, i, keys[i]);
    });
  }
};

}  // namespace simplepose
