// The decoding ops on a GPU, for the files that no CUDA compiler sees. Kernels are enqueued on a stream (a
// cudaStream_t); every function throws if a launch fails.
#pragma once

#include <memory>

#include "decode/decode.h"
#include "decode/launch.h"

namespace simplepose {

// See launch_find_peaks and launch_match_parts; all pointers are the device's, `sizes` and `mirror` too.
void find_peaks_cuda(const AnyMaps& maps, int first_channel, int keypoints, const PeakRules& rules, float* slots,
                     int32_t* counts, int device, void* stream);
void match_parts_cuda(const AnyMaps& maps, const int32_t* parts, int part_types, int keypoints, const PartRules& rules,
                      float* slots, int32_t* counts, int max_peaks, const PackedHits& packed, int device, void* stream);

// A batch on its way through a GPU; see DeviceBatch. `sizes` and `mirror` are the host's and read at once.
class CudaBatch {
 public:
  CudaBatch(const AnyMaps& maps, const Skeleton& skeleton, const DecodeSettings& settings, int device, void* stream);
  ~CudaBatch();
  CudaBatch(const CudaBatch&) = delete;
  CudaBatch& operator=(const CudaBatch&) = delete;

  int64_t images() const;
  const Skeleton& skeleton() const;
  bool wait();  // what follows needs its true
  void decode(int64_t image, Workspace& workspace) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace simplepose
