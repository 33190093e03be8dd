// The decoding ops on a GPU, declared for files that the C++ compiler compiles. Kernels are enqueued on a stream (a
// cudaStream_t); every function throws if a launch fails.
#pragma once

#include <memory>

#include "decode/decode.h"
#include "decode/launch.h"

namespace simplepose {

// See launch_find_peaks and launch_match_parts; all pointers are to device memory, `sizes` and `mirror` too.
void find_peaks_cuda(const AnyMaps& maps, int first_channel, int keypoints, const PeakRules& rules, float* slots,
                     int32_t* counts, int device, void* stream);
void match_parts_cuda(const AnyMaps& maps, const int32_t* parts, int part_types, int keypoints, const PartRules& rules,
                      float* slots, int32_t* counts, int max_peaks, const PackedHits& packed, int device, void* stream);

// A batch that a GPU decodes; see DeviceBatch. `sizes` and `mirror` are in host memory and are read at once.
class CudaBatch {
 public:
  CudaBatch(const AnyMaps& maps, const Skeleton& skeleton, const DecodeSettings& settings, int device, void* stream);
  ~CudaBatch();
  CudaBatch(const CudaBatch&) = delete;
  CudaBatch& operator=(const CudaBatch&) = delete;

  int64_t images() const;
  const Skeleton& skeleton() const;
  bool wait();  // decode() may be called after it has returned true
  void decode(int64_t image, Workspace& workspace) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace simplepose
