// Python functions for decoding on a GPU. Tensors come as borrowed DLPack capsules, outputs belong to the caller,
// streams are integers.
#include <memory>

#include "decode/decode_cuda.h"
#include "python/bindings_decode.h"
#include "python/dlpack.h"

namespace simplepose {
namespace {

void check_shape(const char* name, const DLTensor& tensor, const std::vector<int64_t>& shape) {
  if (shape_of(tensor) == shape) return;
  throw py::value_error(std::string(name) + ": expected shape " + shape_text(shape) + ", got " +
                        shape_text(shape_of(tensor)));
}

// [B, C, H, W], or [2 B, C, H, W] with `flip`.
AnyMaps maps_of(const DLTensor& tensor, bool flip) {
  if (flip && tensor.shape[0] % 2 != 0) throw py::value_error("maps: expected as many mirrored images as plain ones");
  AnyMaps maps{};
  maps.cells = data_of<char>(tensor);
  maps.type = map_type(tensor);
  maps.flip = flip;
  maps.images = tensor.shape[0] / (flip ? 2 : 1);
  maps.channels = static_cast<int>(tensor.shape[1]);
  maps.rows = static_cast<int>(tensor.shape[2]);
  maps.columns = static_cast<int>(tensor.shape[3]);
  return maps;
}

// Tensors of one call, all on the device of the first.
class Borrower {
 public:
  const DLTensor& operator()(const char* name, const py::object& object, std::initializer_list<DLDataType> types,
                             int32_t dimensions) {
    const DLTensor& tensor = borrowed_tensor(name, object, types, dimensions);
    if (device < 0) device = tensor.device.device_id;
    if (tensor.device.device_id != device)
      throw py::value_error(std::string(name) + ": expected it on device " + std::to_string(device) + ", got device " +
                            std::to_string(tensor.device.device_id));
    return tensor;
  }
  const DLTensor& maps(const py::object& object) { return (*this)("maps", object, {kFloat32, kFloat16, kBFloat16}, 4); }

  int device = -1;
};

// maps, slots [K, B, J, 3], counts [B, J]; mirror [C] int32 for flipped maps.
void bound_find_peaks(const py::object& maps, int first_channel, float threshold, const py::object& mirror,
                      const py::object& slots, const py::object& counts, std::uintptr_t stream) {
  Borrower borrow;
  const DLTensor& cells = borrow.maps(maps);
  AnyMaps input = maps_of(cells, !mirror.is_none());
  const DLTensor& out = borrow("slots", slots, {kFloat32}, 4);
  const DLTensor& found = borrow("counts", counts, {kInt32}, 2);
  const int64_t max_peaks = out.shape[0], keypoints = out.shape[2];
  check_shape("slots", out, {max_peaks, input.images, keypoints, 3});
  check_shape("counts", found, {input.images, keypoints});
  if (first_channel < 0 || first_channel + keypoints > input.channels) throw py::value_error("maps: too few channels");
  if (input.flip) {
    const DLTensor& table = borrow("mirror", mirror, {kInt32}, 1);
    check_shape("mirror", table, {input.channels});
    input.mirror = data_of<int32_t>(table);
  }
  const GilRelease release;
  find_peaks_cuda(input, first_channel, static_cast<int>(keypoints), {threshold, static_cast<int>(max_peaks)},
                  data_of<float>(out), data_of<int32_t>(found), borrow.device, reinterpret_cast<void*>(stream));
}

// parts [L, 2] int32; slots and counts of find_peaks; total [1] int64, first [B, L] int64, hit_counts [B, L] int32 and
// hits [M, 2] int32 are written.
void bound_match_parts(const py::object& maps, const py::object& parts, float threshold, int samples, int needed,
                       const py::object& mirror, const py::object& slots, const py::object& counts,
                       const py::object& total, const py::object& first, const py::object& hit_counts,
                       const py::object& hits, std::uintptr_t stream) {
  Borrower borrow;
  const DLTensor& cells = borrow.maps(maps);
  AnyMaps input = maps_of(cells, !mirror.is_none());
  const DLTensor& pairs = borrow("parts", parts, {kInt32}, 2);
  const DLTensor& peaks = borrow("slots", slots, {kFloat32}, 4);
  const DLTensor& found = borrow("counts", counts, {kInt32}, 2);
  const int64_t types = pairs.shape[0], keypoints = peaks.shape[2];
  check_shape("parts", pairs, {types, 2});
  check_shape("slots", peaks, {peaks.shape[0], input.images, keypoints, 3});
  check_shape("counts", found, {input.images, keypoints});
  if (types > input.channels) throw py::value_error("maps: too few channels");
  if (samples < 2 || samples > kMaxSamples) throw py::value_error("samples: out of range");
  if (input.flip) {
    const DLTensor& table = borrow("mirror", mirror, {kInt32}, 1);
    check_shape("mirror", table, {input.channels});
    input.mirror = data_of<int32_t>(table);
  }
  const DLTensor& sum = borrow("total", total, {kInt64}, 1);
  const DLTensor& begin = borrow("first", first, {kInt64}, 2);
  const DLTensor& count = borrow("hit_counts", hit_counts, {kInt32}, 2);
  const DLTensor& out = borrow("hits", hits, {kInt32}, 2);
  check_shape("total", sum, {1});
  check_shape("first", begin, {input.images, types});
  check_shape("hit_counts", count, {input.images, types});
  check_shape("hits", out, {out.shape[0], 2});
  PackedHits packed;
  packed.total = {data_of<unsigned long long>(sum), 1};
  packed.first = {data_of<int64_t>(begin), input.images * types};
  packed.counts = {data_of<int32_t>(count), input.images * types};
  packed.hits = {data_of<PairHit>(out), out.shape[0]};
  const GilRelease release;
  match_parts_cuda(input, data_of<int32_t>(pairs), static_cast<int>(types), static_cast<int>(keypoints),
                   {threshold, samples, needed}, data_of<float>(peaks), data_of<int32_t>(found),
                   static_cast<int>(peaks.shape[0]), packed, borrow.device, reinterpret_cast<void*>(stream));
}

// Starts to decode a batch; sizes [B, 2] and mirror [C] are int32 arrays on the host, or None.
std::unique_ptr<CudaBatch> start_decode(const Decoder& decoder, const py::object& maps, const py::object& sizes,
                                        const py::object& mirror, std::uintptr_t stream) {
  Borrower borrow;
  AnyMaps input = maps_of(borrow.maps(maps), !mirror.is_none());
  if (decoder.skeleton.parts() + decoder.skeleton.keypoints > input.channels)
    throw py::value_error("maps: too few channels");
  if (input.flip) {
    const py::array table = checked_array<int32_t>("mirror", mirror, {input.channels});
    input.mirror = data_of<int32_t>(table);
  }
  if (!sizes.is_none()) {
    const py::array table = checked_array<int32_t>("sizes", sizes, {input.images, 2});
    input.sizes = data_of<int32_t>(table);
    for (int64_t i = 0; i < input.images; ++i) {
      const int32_t height = input.sizes[2 * i], width = input.sizes[2 * i + 1];
      if (height < 1 || width < 1 || height > input.rows || width > input.columns)
        throw py::value_error("sizes: expected sizes within the maps");
    }
  }
  const GilRelease release;
  return std::make_unique<CudaBatch>(input, decoder.skeleton, decoder.settings, borrow.device,
                                     reinterpret_cast<void*>(stream));
}

py::list decode_batch(const CudaBatch& batch, float scale, float shift, int threads) {
  return decode_images(batch.images(), batch.skeleton().keypoints, scale, shift, threads,
                       [&](int64_t image, Workspace& workspace) { batch.decode(image, workspace); });
}

py::tuple decode_image(const CudaBatch& batch, int64_t image, float scale, float shift) {
  if (image < 0 || image >= batch.images()) throw py::index_error("image");
  PeopleRows rows;
  {
    const GilRelease release;
    const ThreadWorkspace workspace;
    batch.decode(image, *workspace);
    take_people(*workspace, scale, shift, rows);
  }
  return people_tuple(rows, batch.skeleton().keypoints);
}

}  // namespace

void bind_decode_cuda(py::module_& module) {
  module.def("find_peaks_cuda", &bound_find_peaks, py::arg("maps"), py::arg("first_channel"), py::arg("threshold"),
             py::arg("mirror"), py::arg("slots"), py::arg("counts"), py::arg("stream"));
  module.def("match_parts_cuda", &bound_match_parts, py::arg("maps"), py::arg("parts"), py::arg("threshold"),
             py::arg("samples"), py::arg("needed"), py::arg("mirror"), py::arg("slots"), py::arg("counts"),
             py::arg("total"), py::arg("first"), py::arg("hit_counts"), py::arg("hits"), py::arg("stream"));
  py::class_<CudaBatch>(module, "CudaBatch")
      .def_property_readonly("images", &CudaBatch::images)
      .def("wait", &CudaBatch::wait, py::call_guard<GilRelease>(),
           "Waits for the device; False if the batch must be decoded on the host.")
      .def("decode", &decode_batch, py::arg("scale"), py::arg("shift"), py::arg("threads"))
      .def("decode_image", &decode_image, py::arg("image"), py::arg("scale"), py::arg("shift"));
  module.def("start_decode", &start_decode, py::arg("decoder"), py::arg("maps"), py::arg("sizes"), py::arg("mirror"),
             py::arg("stream"));
}

}  // namespace simplepose
