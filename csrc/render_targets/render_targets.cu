// render_targets on the GPU: launches the kernels of render_targets_kernel.h.
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include "cuda/device.h"
#include "render_targets/render_targets.h"
#include "render_targets/render_targets_kernel.h"

namespace simplepose {
namespace {

template <typename Out>
std::vector<Out*> typed(const std::vector<void*>& maps) {
  std::vector<Out*> pointers;
  for (void* const map : maps) pointers.push_back(static_cast<Out*>(map));
  return pointers;
}

void pool_further(const TargetArguments& arguments, const std::vector<float*>& maps, void* stream) {
  const int64_t planes = arguments.images * arguments.channels();
  for (size_t scale = kMaxFusedScales; scale < maps.size(); ++scale) {
    const int height = arguments.height >> scale, width = arguments.width >> scale;
    const int64_t cells = planes * height * width;
    launch("render_targets", PoolKernel{{maps[scale - 1], 4 * cells}, {maps[scale], cells}, width}, stream);
  }
}

}  // namespace

void render_targets_cuda(const TargetArguments& arguments, const std::vector<void*>& maps, MapType type, int device,
                         void* stream) {
  if (type != MapType::kFloat32 && maps.size() > kMaxFusedScales)
    throw std::invalid_argument("render_targets: expected at most " + std::to_string(kMaxFusedScales) +
                                " scales of half precision, got " + std::to_string(maps.size()));
  const DeviceGuard guard(device);
  const auto render = [&](const auto& outputs) {
    using Out = std::remove_pointer_t<std::decay_t<decltype(outputs[0])>>;
    if (arguments.rules.line)
      launch("render_targets", RenderKernel<Out, true>::make(arguments, outputs), stream);
    else
      launch("render_targets", RenderKernel<Out, false>::make(arguments, outputs), stream);
  };
  switch (type) {
    case MapType::kFloat16:
      return render(typed<Half>(maps));
    case MapType::kBFloat16:
      return render(typed<BFloat>(maps));
    case MapType::kFloat32:
      render(typed<float>(maps));
      pool_further(arguments, typed<float>(maps), stream);
  }
}

}  // namespace simplepose
