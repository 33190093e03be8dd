// render_targets on the CPU: the planes of a batch, shared out to threads.
#include "render_targets/render_targets.h"

#include "common/parallel.h"
#include "common/simd.h"
#include "render_targets/render_plane.h"

namespace simplepose {
namespace {

// Other threads take longer than this to wake up, so less work runs on the calling thread alone. One core zeroes about
// 8 cells in a nanosecond and draws a shape in a microsecond.
constexpr int64_t kSerialNanoseconds = 100'000;
constexpr int64_t kCellsPerNanosecond = 8, kShapeNanoseconds = 1000;

void render_plane_generic(const TargetArguments& arguments, const std::vector<float*>& maps, int64_t index,
                          RenderScratch& scratch) {
  render_plane(arguments, maps, index, scratch);
}

}  // namespace

void render_targets(const TargetArguments& arguments, const std::vector<float*>& maps, int threads) {
#if SP_X86
  const auto render = use_avx2() ? render_plane_avx2 : render_plane_generic;
#else
  const auto render = render_plane_generic;
#endif
  const int64_t planes = arguments.images * arguments.channels();
  const int64_t work =
      planes * arguments.height * arguments.width / kCellsPerNanosecond + planes * arguments.people * kShapeNanoseconds;
  parallel_for(planes, work < kSerialNanoseconds ? 1 : threads, [&](int64_t index) {
    thread_local RenderScratch scratch;
    const size_t width = arguments.width, height = arguments.height;
    if (scratch.along_x.size() < width) scratch.along_x.resize(width);
    if (scratch.along_y.size() < height) scratch.along_y.resize(height);
    render(arguments, maps, index, scratch);
  });
}

}  // namespace simplepose
