// The decoding kernels and the host's side of a device batch, run by the emulator, for
// tests/helpers/emulation.py.
// clang-format off: emulator.h must come before the headers of kernels
#include "emulator.h"
// clang-format on

#include <functional>
#include <memory>
#include <new>
#include <stdexcept>

#include "decode/device_batch.h"
#include "python/dltensor.h"

namespace sp = simplepose;

namespace {

// Runs every kernel at once.
struct Emulator {
  sp::Order order;

  template <typename Kernel>
  void launch(const char*, const Kernel& kernel) {
    sp::emulate(kernel, order);
  }
};

// A device that does nothing before somebody waits for it, as slowly as one can be.
struct LazyDevice {
  sp::Order order;
  std::shared_ptr<std::vector<std::function<void()>>> queue = std::make_shared<std::vector<std::function<void()>>>();
  static int allocations, copies;

  struct Event {};

  static void* allocate(size_t bytes, bool) {
    ++allocations;
    void* data = ::operator new(bytes, std::align_val_t{64});
    std::memset(data, 0xa5, bytes);
    return data;
  }
  static void release(void* data, bool) { ::operator delete(data, std::align_val_t{64}); }
  void copy(void* to, const void* from, int64_t bytes) {
    queue->push_back([=] { std::memmove(to, from, bytes); });
  }
  void clear(void* data, int64_t bytes) {
    queue->push_back([=] { std::memset(data, 0, bytes); });
  }
  void record(Event&) { ++copies; }
  void wait(Event&) {
    for (const auto& work : *queue) work();
    queue->clear();
  }
  template <typename Kernel>
  void launch(const char*, const Kernel& kernel) {
    queue->push_back([this_order = order, kernel] { sp::emulate(kernel, this_order); });
  }
};
int LazyDevice::allocations = 0, LazyDevice::copies = 0;

std::unique_ptr<sp::BatchBuffers<LazyDevice>> kept;

sp::BatchBuffers<LazyDevice>& buffers() {
  if (!kept) kept = std::make_unique<sp::BatchBuffers<LazyDevice>>();
  return *kept;
}

template <typename Body>
int guarded(char* error, int room, Body&& body) {
  try {
    return body();
  } catch (const std::exception& caught) {
    std::strncpy(error, caught.what(), static_cast<size_t>(room) - 1);
    return -1;
  }
}

}  // namespace

// 0, or -1 and a message of fewer than `room` bytes in `error`.
extern "C" int emulate_find_peaks(int order, const sp::AnyMaps* maps, int first_channel, int keypoints, float threshold,
                                  int max_peaks, float* slots, int32_t* counts, char* error, int room) {
  return guarded(error, room, [&] {
    Emulator emulator{static_cast<sp::Order>(order)};
    sp::launch_find_peaks(emulator, *maps, first_channel, keypoints, {threshold, max_peaks}, slots, counts);
    return 0;
  });
}

extern "C" int emulate_match_parts(int order, const sp::AnyMaps* maps, const int32_t* parts, int part_types,
                                   int keypoints, float threshold, int samples, int needed, float* slots,
                                   int32_t* counts, int max_peaks, int64_t* total, int64_t* first, int32_t* hit_counts,
                                   int32_t* hits, int64_t capacity, char* error, int room) {
  return guarded(error, room, [&] {
    Emulator emulator{static_cast<sp::Order>(order)};
    *total = 0;
    sp::PackedHits packed;
    packed.total = {reinterpret_cast<unsigned long long*>(total), 1};
    packed.first = {first, maps->images * part_types};
    packed.counts = {hit_counts, maps->images * part_types};
    packed.hits = {reinterpret_cast<sp::PairHit*>(hits), capacity};
    sp::launch_match_parts(emulator, *maps, parts, part_types, keypoints, {threshold, samples, needed}, slots, counts,
                           max_peaks, packed);
    return 0;
  });
}

// Whether the binding takes a tensor of that shape and these strides.
extern "C" bool borrowed_is_contiguous(const int64_t* shape, const int64_t* strides, int ndim) {
  return sp::is_contiguous(shape, strides, ndim);
}

// The next batch gets new buffers.
extern "C" void emulate_forget() { kept.reset(); }

// Decodes a batch. `rows` [images, most_people, J, 3], `scores` [images, most_people], `people` and `truncated`
// [images]. 1: the batch has too many candidates for a device. `copies` and `allocations`: what this call has done.
extern "C" int emulate_decode(int order, const sp::AnyMaps* maps, int keypoints, const int32_t* parts, int part_types,
                              const sp::DecodeSettings* settings, int most_people, float* rows, float* scores,
                              int32_t* people, int32_t* truncated, int32_t* copies, int32_t* allocations, char* error,
                              int room) {
  return guarded(error, room, [&]() -> int {
    const sp::Skeleton skeleton = sp::Skeleton::of(keypoints, parts, part_types);
    LazyDevice::copies = LazyDevice::allocations = 0;
    sp::DeviceBatch<LazyDevice> batch(LazyDevice{static_cast<sp::Order>(order)}, buffers(), *maps, skeleton, *settings);
    const bool fits = batch.wait();
    *copies = LazyDevice::copies, *allocations = LazyDevice::allocations;
    if (!fits) return 1;
    sp::Workspace workspace;
    for (int64_t image = 0; image < batch.images(); ++image) {
      batch.decode(image, workspace);
      people[image] = workspace.people.size();
      truncated[image] = workspace.peaks.truncated;
      if (workspace.people.size() > most_people) throw std::runtime_error("most_people is too small");
      sp::write_people(workspace.people, workspace.peaks, 1.0f, 0.0f, rows + image * most_people * keypoints * 3);
      std::copy(workspace.people.score.begin(), workspace.people.score.end(), scores + image * most_people);
    }
    return 0;
  });
}
