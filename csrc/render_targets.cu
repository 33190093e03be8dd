// render_targets on the GPU: a block draws one tile of one channel, a thread one cell; each scale is pooled after.
#include <cuda_runtime.h>

#include <algorithm>
#include <stdexcept>

#include "cuda.h"
#include "render_targets.h"

namespace simplepose {
namespace {

constexpr int kTileWidth = 32, kTileHeight = 8;
constexpr int kThreads = kTileWidth * kTileHeight;

enum class Kind { kPart, kKeypoint, kEnvelope };

// The shape number `index` of a channel, empty where it does not reach the tile. The envelope's shapes are all
// keypoints of all people.
__device__ TargetShape tile_shape(const TargetArguments& arguments, const float* image, Kind kind, int channel,
                                  int64_t index, int tile_x, int tile_y) {
  const int types = arguments.keypoint_types;
  TargetShape shape;
  bool drawn;
  if (kind == Kind::kPart) {
    const float* person = image + index * types * 3;
    const int32_t* part = arguments.parts + 2 * channel;
    drawn = part_shape(person + 3 * part[0], person + 3 * part[1], arguments.rules, arguments.height, arguments.width,
                       &shape);
  } else {
    const int64_t point = kind == Kind::kKeypoint ? index * types + (channel - arguments.part_types) : index;
    drawn = keypoint_shape(image + point * 3, arguments.rules, arguments.height, arguments.width, &shape);
  }
  if (!drawn || !shape.columns.meets(tile_x, tile_x + kTileWidth - 1) ||
      !shape.rows.meets(tile_y, tile_y + kTileHeight - 1))
    shape.columns = shape.rows = {0, -1};
  return shape;
}

// What a shape gives at a cell of its spans.
__device__ float cell_value(const TargetShape& shape, const TargetRules& rules, Kind kind, int x, int y) {
  if (kind != Kind::kPart)
    return keypoint_value(keypoint_factor(y, shape.y, rules), keypoint_factor(x, shape.x, rules), rules);
  const float px = grid(x, rules.stride) - shape.x, py = grid(y, rules.stride) - shape.y;
  return rules.line ? line_value(shape, px, py, rules) : ellipse_value(shape, px, py, rules);
}

// One block a tile, by image, channel and raster order; the shapes pass through shared memory kThreads at a time.
__global__ void __launch_bounds__(kThreads)
    draw_tiles(const TargetArguments arguments, int channels, int tiles_x, int tiles_y, float* maps) {
  __shared__ TargetShape shapes[kThreads];
  const int64_t plane = blockIdx.x / (tiles_x * tiles_y);
  const int tile = static_cast<int>(blockIdx.x % (tiles_x * tiles_y));
  const int tile_x = tile % tiles_x * kTileWidth, tile_y = tile / tiles_x * kTileHeight;
  const int thread = static_cast<int>(threadIdx.x);
  const int x = tile_x + thread % kTileWidth, y = tile_y + thread / kTileWidth;
  const int channel = static_cast<int>(plane % channels);
  const int types = arguments.keypoint_types;
  const Kind kind = channel < arguments.part_types           ? Kind::kPart
                    : channel < arguments.part_types + types ? Kind::kKeypoint
                                                             : Kind::kEnvelope;
  const float* image = arguments.keypoints + plane / channels * arguments.people * types * 3;
  const int64_t count = kind == Kind::kEnvelope ? arguments.people * types : arguments.people;
  const bool averaged = kind == Kind::kPart && arguments.rules.line;

  float result = 0.0f, boxes = 0.0f;
  for (int64_t first = 0; first < count; first += kThreads) {
    const int chunk = static_cast<int>(min(count - first, static_cast<int64_t>(kThreads)));
    bool reaches = false;
    if (thread < chunk) {
      shapes[thread] = tile_shape(arguments, image, kind, channel, first + thread, tile_x, tile_y);
      reaches = !shapes[thread].columns.empty();
    }
    if (__syncthreads_or(reaches)) {
      for (int i = 0; i < chunk; ++i) {  // in the order of the people, which the mean depends on
        const TargetShape& shape = shapes[i];
        if (!shape.columns.has(x) || !shape.rows.has(y)) continue;
        const float value = cell_value(shape, arguments.rules, kind, x, y);
        result = averaged ? result + value : larger(result, value);
        boxes += 1.0f;
      }
    }
    __syncthreads();
  }
  if (averaged && boxes > 1.0f) result /= boxes;
  if (x < arguments.width && y < arguments.height) maps[(plane * arguments.height + y) * arguments.width + x] = result;
}

// 2 x 2 average pool; `cells` counts those of `out`, whose rows have `width` of them.
__global__ void __launch_bounds__(kThreads) pool(const float* in, float* out, int width, int64_t cells) {
  const int64_t cell = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (cell >= cells) return;
  const float* upper = in + cell / width * width * 4 + cell % width * 2;
  const float* lower = upper + 2 * width;
  out[cell] = ((upper[0] + upper[1]) + (lower[0] + lower[1])) * 0.25f;
}

unsigned block_count(int64_t blocks) {
  if (blocks > 0x7fffffff) throw std::runtime_error("render_targets: the batch is too large for one launch");
  return static_cast<unsigned>(blocks);
}

}  // namespace

void render_targets_cuda(const TargetArguments& arguments, const std::vector<float*>& maps, int device, void* stream) {
  const int64_t planes = arguments.images * arguments.channels();
  int height = arguments.height, width = arguments.width;
  if (planes == 0 || height == 0 || width == 0) return;
  const DeviceGuard guard(device);
  auto* const queue = static_cast<cudaStream_t>(stream);
  const int tiles_x = (width + kTileWidth - 1) / kTileWidth, tiles_y = (height + kTileHeight - 1) / kTileHeight;
  draw_tiles<<<block_count(planes * tiles_x * tiles_y), kThreads, 0, queue>>>(arguments, arguments.channels(), tiles_x,
                                                                              tiles_y, maps[0]);
  check_launch("render_targets");
  for (size_t scale = 1; scale < maps.size(); ++scale) {
    height /= 2;
    width /= 2;
    const int64_t cells = planes * height * width;
    pool<<<block_count((cells + kThreads - 1) / kThreads), kThreads, 0, queue>>>(maps[scale - 1], maps[scale], width,
                                                                                 cells);
    check_launch("render_targets");
  }
}

}  // namespace simplepose
