// The kernels of render_targets, run by the emulator, for tests/helpers/target_emulation.py.
// clang-format off: emulator.h must come before the headers of kernels
#include "emulator.h"
// clang-format on

#include <cstdio>

#include "render_targets/render_targets_kernel.h"

namespace {

using namespace simplepose;

template <typename Out>
void render(const TargetArguments& arguments, void* const* maps, int scales, int64_t missing, Order order) {
  std::vector<Out*> typed;
  for (int scale = 0; scale < scales; ++scale) typed.push_back(static_cast<Out*>(maps[scale]));
  const auto run = [&](auto kernel) {
    kernel.writer.maps[0] = kernel.writer.maps[0].part(0, kernel.writer.maps[0].size() - missing);
    emulate(kernel, order);
  };
  if (arguments.rules.line)
    run(RenderKernel<Out, true>::make(arguments, typed));
  else
    run(RenderKernel<Out, false>::make(arguments, typed));
}

void pool(const TargetArguments& arguments, void* const* maps, int scales, Order order) {
  for (int scale = kMaxFusedScales; scale < scales; ++scale) {
    const int height = arguments.height >> scale, width = arguments.width >> scale;
    const int64_t cells = arguments.images * arguments.channels() * height * width;
    emulate(
        PoolKernel{
            {static_cast<const float*>(maps[scale - 1]), 4 * cells}, {static_cast<float*>(maps[scale]), cells}, width},
        order);
  }
}

}  // namespace

extern "C" {

// `rules`: the fields of TargetRules in their order. `type`: 0 float32, 1 float16, 2 bfloat16. `order`: as Order.
// `missing`: cells that the first map lacks at its end.
// Writes an error's text into `message` and gives whether there was none.
bool emulate_render_targets(const float* keypoints, int64_t images, int64_t people, int keypoint_types,
                            const int32_t* parts, int part_types, int height, int width, bool envelope,
                            const float* rules, void* const* maps, int scales, int64_t missing, int type, int order,
                            char* message, size_t message_size) {
  const TargetRules numbers{rules[0] != 0.0f, rules[1], rules[2], rules[3], rules[4],
                            rules[5],         rules[6], rules[7], rules[8], 1.0f / rules[1]};
  const TargetArguments arguments{keypoints,  parts,  images, people,   keypoint_types,
                                  part_types, height, width,  envelope, numbers};
  try {
    if (type == 0) render<float>(arguments, maps, scales, missing, static_cast<Order>(order));
    if (type == 1) render<Half>(arguments, maps, scales, missing, static_cast<Order>(order));
    if (type == 2) render<BFloat>(arguments, maps, scales, missing, static_cast<Order>(order));
    if (type == 0) pool(arguments, maps, scales, static_cast<Order>(order));
  } catch (const std::exception& error) {
    std::snprintf(message, message_size, "%s", error.what());
    return false;
  }
  return true;
}

void round_to_float16(const float* values, uint16_t* bits, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    Half rounded;
    round_to(values[i], &rounded);
    bits[i] = rounded.bits;
  }
}

void round_to_bfloat16(const float* values, uint16_t* bits, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    BFloat rounded;
    round_to(values[i], &rounded);
    bits[i] = rounded.bits;
  }
}

}  // extern "C"
