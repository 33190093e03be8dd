// decode of a batch whose maps are on a device. Peaks and accepted pairs are found on the device. They are a few
// hundred kilobytes and are copied to the host, where assign_keypoints groups people image by image.
//
// A Device allocates, copies, launches and waits: a GPU (decode_cuda.cu) or the emulator of the tests. Buffers are kept
// from batch to batch. The size of the copies is estimated from earlier batches, so that usually one copy of each
// buffer follows the kernels. If something is missing, it is copied when the counts are known.
#pragma once

#include <algorithm>
#include <cstring>
#include <mutex>
#include <vector>

#include "common/limits.h"
#include "decode/decode.h"
#include "decode/launch.h"

namespace simplepose {

// Limits of that estimate, so that one crowded batch does not make all later copies large.
constexpr int64_t kMostUsualSlots = 64, kMostUsualHits = 256;

// Memory of a device, or host memory for copies to and from a device. It loses its content when it grows.
template <typename Device>
class Buffer {
 public:
  explicit Buffer(bool host) : host_(host) {}
  ~Buffer() { Device::release(data_, host_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  char* reserve(int64_t bytes) {
    if (bytes > size_) {
      Device::release(data_, host_);
      data_ = nullptr, size_ = 0;
      data_ = static_cast<char*>(Device::allocate(bytes, host_));
      size_ = bytes;
    }
    return data_;
  }
  char* data() const { return data_; }
  int64_t size() const { return size_; }

 private:
  bool host_;
  char* data_ = nullptr;
  int64_t size_ = 0;
};

template <typename Device>
struct BatchBuffers {
  Buffer<Device> tables{false}, peaks{false}, result{false};
  Buffer<Device> host_tables{true}, host_peaks{true}, host_result{true};
  typename Device::Event done;
  int64_t usual_slots = 8, usual_hits = 8;  // estimated: slots per map, hits per image and part type
};

// The offsets in the result buffer: counts first, then hits up to the end.
struct ResultLayout {
  int64_t maps, segments;  // images * keypoint types, images * part types

  int64_t total() const { return 0; }
  int64_t first() const { return 8; }
  int64_t hit_counts() const { return first() + 8 * segments; }
  int64_t peak_counts() const { return hit_counts() + 4 * segments; }
  int64_t hits() const { return (peak_counts() + 4 * maps + 7) / 8 * 8; }
  int64_t bytes(int64_t count) const { return hits() + count * int64_t{sizeof(PairHit)}; }
};

template <typename Device>
class DeviceBatch {
 public:
  // The maps are on the device, part types before keypoint types; `sizes` and `mirror` of AnyMaps are on the host. The
  // constructor does not wait for the device. The maps must stay valid until wait() has returned.
  DeviceBatch(Device device, BatchBuffers<Device>& buffers, const AnyMaps& maps, const Skeleton& skeleton,
              const DecodeSettings& settings)
      : device_(device),
        buffers_(buffers),
        maps_(maps),
        skeleton_(skeleton),
        settings_(settings),
        layout_{maps.images * skeleton.keypoints, maps.images * skeleton.parts()} {
    upload_tables();
    const int64_t room = (buffers.result.size() - layout_.bytes(0)) / int64_t{sizeof(PairHit)};
    hits_capacity_ = std::clamp<int64_t>(std::max(room, layout_.segments * buffers.usual_hits), 1 << 12, kMaxHits);
    enqueue();
  }

  int64_t images() const { return maps_.images; }
  const Skeleton& skeleton() const { return skeleton_; }

  // Waits for the device. False if the batch must be decoded on the host: more than kMaxHits candidates.
  bool wait() {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (ready_) return fits_;
    device_.wait(buffers_.done);
    while (total() > hits_capacity_ && total() <= kMaxHits) {
      hits_capacity_ = std::min(total() + total() / 4 + layout_.segments, kMaxHits);
      enqueue();
      device_.wait(buffers_.done);
    }
    fits_ = total() <= hits_capacity_;
    if (fits_) copy_rest();
    ready_ = true;
    return fits_;
  }

  // The people of an image, after wait(); several threads may call it, each with its own workspace.
  void decode(int64_t image, Workspace& workspace) const {
    read_peaks(image, workspace.peaks);
    read_candidates(image, workspace);
    assign_keypoints(workspace.peaks, workspace.candidates, skeleton_, settings_, workspace.people, workspace.assign);
  }

 private:
  template <typename T>
  T* result(const Buffer<Device>& buffer, int64_t offset) const {
    return reinterpret_cast<T*>(buffer.data() + offset);
  }

  int64_t total() const { return *result<unsigned long long>(buffers_.host_result, layout_.total()); }

  // Parts, mirror and sizes in one copy; maps_ then points to those on the device.
  void upload_tables() {
    std::vector<int32_t> tables;
    for (size_t part = 0; part < skeleton_.from.size(); ++part) {
      tables.push_back(skeleton_.from[part]), tables.push_back(skeleton_.to[part]);
    }
    const size_t mirror = tables.size();
    if (maps_.flip) tables.insert(tables.end(), maps_.mirror, maps_.mirror + maps_.channels);
    const size_t sizes = tables.size();
    if (maps_.sizes) tables.insert(tables.end(), maps_.sizes, maps_.sizes + 2 * maps_.images);
    const int64_t bytes = tables.size() * sizeof(int32_t);
    char* host = buffers_.host_tables.reserve(bytes);
    auto* data = reinterpret_cast<int32_t*>(buffers_.tables.reserve(bytes));
    if (bytes) std::memcpy(host, tables.data(), bytes);
    device_.copy(data, host, bytes);
    if (maps_.flip) maps_.mirror = data + mirror;
    if (maps_.sizes) maps_.sizes = data + sizes;
  }

  void enqueue() {
    auto* slots = reinterpret_cast<float*>(buffers_.peaks.reserve(slot_bytes(settings_.max_peaks)));
    buffers_.result.reserve(layout_.bytes(hits_capacity_));
    const Buffer<Device>& out = buffers_.result;
    auto* counts = result<int32_t>(out, layout_.peak_counts());
    PackedHits packed;
    packed.total = {result<unsigned long long>(out, layout_.total()), 1};
    packed.first = {result<int64_t>(out, layout_.first()), layout_.segments};
    packed.counts = {result<int32_t>(out, layout_.hit_counts()), layout_.segments};
    packed.hits = {result<PairHit>(out, layout_.hits()), hits_capacity_};
    device_.clear(out.data(), sizeof(unsigned long long));
    launch_find_peaks(device_, maps_, skeleton_.parts(), skeleton_.keypoints,
                      {settings_.peak_threshold, settings_.max_peaks}, slots, counts);
    launch_match_parts(device_, maps_, reinterpret_cast<const int32_t*>(buffers_.tables.data()), skeleton_.parts(),
                       skeleton_.keypoints, {settings_.part_threshold, settings_.num_samples, settings_.min_samples},
                       slots, counts, settings_.max_peaks, packed);
    set_copies();
    copy_back();
  }

  void set_copies() {
    copied_slots_ = std::min<int64_t>(buffers_.usual_slots, settings_.max_peaks);
    copied_hits_ = std::min(buffers_.usual_hits * layout_.segments, hits_capacity_);
  }

  void copy_back() {
    device_.copy(buffers_.host_result.reserve(layout_.bytes(copied_hits_)), buffers_.result.data(),
                 layout_.bytes(copied_hits_));
    device_.copy(buffers_.host_peaks.reserve(slot_bytes(copied_slots_)), buffers_.peaks.data(),
                 slot_bytes(copied_slots_));
    device_.record(buffers_.done);
  }

  // Copies the data that the first copy did not include. Later batches of these buffers include them in the first copy.
  void copy_rest() {
    const auto* counts = result<int32_t>(buffers_.host_result, layout_.peak_counts());
    int64_t slots = 0;
    for (int64_t i = 0; i < layout_.maps; ++i)
      slots = std::max<int64_t>(slots, std::min(counts[i], settings_.max_peaks));
    const int64_t hits = total();
    if (slots <= copied_slots_ && hits <= copied_hits_) return;
    if (slots > copied_slots_) buffers_.usual_slots = std::min(slots + slots / 4, kMostUsualSlots);
    if (hits > copied_hits_) buffers_.usual_hits = std::min(hits * 5 / (layout_.segments * 4) + 1, kMostUsualHits);
    set_copies();
    copied_slots_ = std::max(copied_slots_, slots), copied_hits_ = std::max(copied_hits_, hits);
    copy_back();
    device_.wait(buffers_.done);
  }

  int64_t slot_bytes(int64_t slots) const { return slots * layout_.maps * 3 * int64_t{sizeof(float)}; }

  void read_peaks(int64_t image, Peaks& peaks) const {
    const auto* slots = reinterpret_cast<const float*>(buffers_.host_peaks.data());
    const auto* counts = result<int32_t>(buffers_.host_result, layout_.peak_counts());
    peaks.clear();
    for (int type = 0; type < skeleton_.keypoints; ++type) {
      const int64_t plane = image * skeleton_.keypoints + type;
      peaks.truncated |= counts[plane] > settings_.max_peaks;
      for (int64_t i = 0; i < std::min(counts[plane], settings_.max_peaks); ++i) {
        const float* slot = slots + 3 * (i * layout_.maps + plane);
        peaks.x.push_back(slot[0]), peaks.y.push_back(slot[1]), peaks.score.push_back(slot[2]);
        peaks.type.push_back(type);
      }
      peaks.first.push_back(peaks.size());
    }
  }

  void read_candidates(int64_t image, Workspace& workspace) const {
    AcceptedPairs& accepted = workspace.match.accepted;
    const auto* hits = result<PairHit>(buffers_.host_result, layout_.hits());
    workspace.candidates.clear();
    for (int part = 0; part < skeleton_.parts(); ++part) {
      const int64_t segment = image * skeleton_.parts() + part;
      const int64_t first = result<int64_t>(buffers_.host_result, layout_.first())[segment];
      const int32_t count = result<int32_t>(buffers_.host_result, layout_.hit_counts())[segment];
      accepted.clear();
      for (const PairHit* hit = hits + first; hit != hits + first + count; ++hit) {
        accepted.pair.push_back(hit->pair), accepted.response.push_back(hit->response);
      }
      append_by_score(workspace.peaks, part_ends(skeleton_, workspace.peaks, part), settings_.part_score_product,
                      workspace.candidates, workspace.match);
    }
  }

  Device device_;
  BatchBuffers<Device>& buffers_;
  AnyMaps maps_;
  Skeleton skeleton_;
  DecodeSettings settings_;
  ResultLayout layout_;
  int64_t hits_capacity_ = 0, copied_slots_ = 0, copied_hits_ = 0;
  std::mutex mutex_;
  bool ready_ = false, fits_ = false;
};

}  // namespace simplepose
