// The decoding ops on a GPU: launches, memory and events of the device, and the buffers that are kept for later
// batches.
#include <cuda_runtime.h>

#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>

#include "cuda/device.h"
#include "decode/decode_cuda.h"
#include "decode/device_batch.h"

namespace simplepose {
namespace {

void check(cudaError_t error, const char* what) {
  if (error != cudaSuccess) {
    (void)cudaGetLastError();
    throw std::runtime_error(std::string("decode: ") + what + ": " + cudaGetErrorString(error));
  }
}

// Memory and events belong to the device that is current when they are made.
struct CudaDevice {
  void* stream;

  class Event {
   public:
    Event() { check(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "cudaEventCreate"); }
    ~Event() { (void)cudaEventDestroy(event_); }
    Event(const Event&) = delete;
    Event& operator=(const Event&) = delete;
    cudaEvent_t get() const { return event_; }

   private:
    cudaEvent_t event_ = nullptr;
  };

  static void* allocate(size_t bytes, bool host) {
    void* data = nullptr;
    check(host ? cudaMallocHost(&data, bytes) : cudaMalloc(&data, bytes), host ? "pinned memory" : "device memory");
    return data;
  }
  static void release(void* data, bool host) { (void)(host ? cudaFreeHost(data) : cudaFree(data)); }

  cudaStream_t queue() const { return static_cast<cudaStream_t>(stream); }
  void copy(void* to, const void* from, int64_t bytes) {
    if (bytes) check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, queue()), "copy");
  }
  void clear(void* data, int64_t bytes) { check(cudaMemsetAsync(data, 0, bytes, queue()), "clear"); }
  void record(const Event& event) { check(cudaEventRecord(event.get(), queue()), "cudaEventRecord"); }
  void wait(const Event& event) { check(cudaEventSynchronize(event.get()), "the kernels"); }
  template <typename Kernel>
  void launch(const char* op, const Kernel& kernel) {
    simplepose::launch(op, kernel, stream);
  }
};

using Buffers = BatchBuffers<CudaDevice>;

// Buffers that no batch uses, for each device. Never freed: at exit the driver may shut down before static objects are
// destroyed.
struct Shelf {
  std::mutex mutex;
  std::map<int, std::vector<std::unique_ptr<Buffers>>> free;

  static Shelf& get() {
    static auto* shelf = new Shelf;
    return *shelf;
  }
  std::unique_ptr<Buffers> take(int device) {
    const std::lock_guard<std::mutex> lock(mutex);
    auto& list = free[device];
    if (list.empty()) return std::make_unique<Buffers>();
    std::unique_ptr<Buffers> buffers = std::move(list.back());
    list.pop_back();
    return buffers;
  }
  void put(int device, std::unique_ptr<Buffers> buffers) {
    const std::lock_guard<std::mutex> lock(mutex);
    free[device].push_back(std::move(buffers));
  }
};

}  // namespace

void find_peaks_cuda(const AnyMaps& maps, int first_channel, int keypoints, const PeakRules& rules, float* slots,
                     int32_t* counts, int device, void* stream) {
  const DeviceGuard guard(device);
  CudaDevice launcher{stream};
  launch_find_peaks(launcher, maps, first_channel, keypoints, rules, slots, counts);
}

void match_parts_cuda(const AnyMaps& maps, const int32_t* parts, int part_types, int keypoints, const PartRules& rules,
                      float* slots, int32_t* counts, int max_peaks, const PackedHits& packed, int device,
                      void* stream) {
  const DeviceGuard guard(device);
  CudaDevice launcher{stream};
  launcher.clear(packed.total.at(0, 1), sizeof(unsigned long long));
  launch_match_parts(launcher, maps, parts, part_types, keypoints, rules, slots, counts, max_peaks, packed);
}

struct CudaBatch::State {
  int device;
  std::unique_ptr<Buffers> buffers;
  std::unique_ptr<DeviceBatch<CudaDevice>> batch;
};

CudaBatch::CudaBatch(const AnyMaps& maps, const Skeleton& skeleton, const DecodeSettings& settings, int device,
                     void* stream)
    : state_(std::make_unique<State>()) {
  const DeviceGuard guard(device);
  state_->device = device;
  state_->buffers = Shelf::get().take(device);
  state_->batch =
      std::make_unique<DeviceBatch<CudaDevice>>(CudaDevice{stream}, *state_->buffers, maps, skeleton, settings);
}

// If nobody waited for the batch, its kernels may still use the buffers, so this waits. The buffers of a batch whose
// start failed are not kept.
CudaBatch::~CudaBatch() {
  if (cudaEventSynchronize(state_->buffers->done.get()) != cudaSuccess) return;
  Shelf::get().put(state_->device, std::move(state_->buffers));
}

int64_t CudaBatch::images() const { return state_->batch->images(); }

const Skeleton& CudaBatch::skeleton() const { return state_->batch->skeleton(); }

bool CudaBatch::wait() {
  const DeviceGuard guard(state_->device);
  return state_->batch->wait();
}

void CudaBatch::decode(int64_t image, Workspace& workspace) const { state_->batch->decode(image, workspace); }

}  // namespace simplepose
