// render_targets with AVX2: the lines of render_plane.h, compiled for wider vectors.
#include "common/simd.h"
#if SP_X86
#include "render_targets/render_plane.h"

namespace simplepose {

SP_AVX2 void render_plane_avx2(const TargetArguments& arguments, const std::vector<float*>& maps, int64_t index,
                               RenderScratch& scratch) {
  render_plane(arguments, maps, index, scratch);
}

}  // namespace simplepose
#endif
