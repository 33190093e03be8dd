// The Python module simplepose._native: what was built, and the ops that the bind_* files register.
#include "python/bindings.h"

#include "common/limits.h"
#include "common/parallel.h"

PYBIND11_MODULE(_native, module) {
  namespace sp = simplepose;
  module.doc() = "Native ops of simplepose; call them through simplepose.ops.";
  module.attr("version") = SIMPLEPOSE_VERSION;
  module.attr("cuda_architectures") = SIMPLEPOSE_CUDA_ARCHITECTURES;
#if defined(SIMPLEPOSE_WITH_CUDA)
  module.attr("has_cuda") = true;
#else
  module.attr("has_cuda") = false;
#endif
  module.attr("MAX_KEYPOINTS") = sp::kMaxKeypoints;
  module.attr("MAX_PEAKS") = sp::kMaxPeaks;
  module.attr("MAX_SAMPLES") = sp::kMaxSamples;
  module.attr("MAX_FUSED_SCALES") = sp::kMaxFusedScales;
  module.attr("MAX_HITS") = sp::kMaxHits;
  module.def("default_threads", &sp::default_threads, "Processors this process may run on.");
  sp::bind_decode(module);
  sp::bind_targets(module);
#if defined(SIMPLEPOSE_WITH_CUDA)
  sp::bind_decode_cuda(module);
#endif
}
