// Python functions for render_targets and for the CUDA status. Maps belong to the caller.
#include <cstdint>
#include <vector>

#include "common/parallel.h"
#include "common/simd.h"
#include "python/bindings.h"
#include "render_targets/render_targets.h"

#if defined(SIMPLEPOSE_WITH_CUDA)
#include "cuda/device.h"
#include "python/dlpack.h"
#endif

namespace simplepose {
namespace {

// From TargetRules of the reference implementation, by name.
TargetRules rules_of(const py::object& object) {
  const auto number = [&](const char* name) { return py::cast<float>(object.attr(name)); };
  TargetRules rules{};
  rules.line = py::cast<bool>(object.attr("line"));
  rules.stride = number("stride");
  rules.threshold = number("threshold");
  rules.inv_stride = 1.0f / rules.stride;
  rules.keypoint_scale = number("keypoint_scale");
  rules.keypoint_radius = number("keypoint_radius");
  rules.part_scale = number("part_scale");
  rules.part_radius = number("part_radius");
  rules.part_inside = number("part_inside");
  rules.window = number("window");
  rules.paf = py::cast<bool>(object.attr("paf"));
  return rules;
}

// The arguments that follow from the shapes; the caller sets the pointers.
template <typename Shape>
TargetArguments arguments_of(const Shape& keypoints, int64_t parts, const Shape& maps, bool envelope,
                             const py::object& rules) {
  TargetArguments arguments{};
  arguments.images = keypoints[0];
  arguments.people = keypoints[1];
  arguments.keypoint_types = static_cast<int>(keypoints[2]);
  arguments.part_types = static_cast<int>(parts);
  arguments.height = static_cast<int>(maps[2]);
  arguments.width = static_cast<int>(maps[3]);
  arguments.envelope = envelope;
  arguments.rules = rules_of(rules);
  if (keypoints[3] != 3) throw py::value_error("keypoints: expected x, y and visibility in the last dimension");
  return arguments;
}

void check_map_shape(const TargetArguments& arguments, size_t scale, const std::vector<int64_t>& shape) {
  const std::vector<int64_t> expected{arguments.images, arguments.channels(), arguments.height >> scale,
                                      arguments.width >> scale};
  if (shape != expected)
    throw py::value_error("maps: scale " + std::to_string(scale) + ": expected shape " + shape_text(expected) +
                          ", got " + shape_text(shape));
}

void check_parts(const TargetArguments& arguments) {
  for (int i = 0; i < 2 * arguments.part_types; ++i)
    if (arguments.parts[i] < 0 || arguments.parts[i] >= arguments.keypoint_types)
      throw py::value_error("parts: expected keypoint types below " + std::to_string(arguments.keypoint_types) +
                            ", got " + std::to_string(arguments.parts[i]));
}

std::vector<int64_t> shape_of(const py::array& array) {
  return std::vector<int64_t>(array.shape(), array.shape() + array.ndim());
}

void bound_render_targets(const py::object& keypoints, const py::object& parts, const py::object& rules,
                          const py::list& maps, bool envelope, int threads) {
  const py::array points = checked_array<float>("keypoints", keypoints, {-1, -1, -1, 3});
  const py::array pairs = checked_array<int32_t>("parts", parts, {-1, 2});
  if (maps.empty()) throw py::value_error("maps: expected one array a scale, got none");
  std::vector<py::array> arrays;
  std::vector<float*> data;
  for (const py::handle map : maps) {
    arrays.push_back(checked_array<float>("maps", py::reinterpret_borrow<py::object>(map), {-1, -1, -1, -1}));
    data.push_back(static_cast<float*>(arrays.back().mutable_data()));
  }
  TargetArguments arguments = arguments_of(shape_of(points), pairs.shape(0), shape_of(arrays[0]), envelope, rules);
  arguments.keypoints = data_of<float>(points);
  arguments.parts = data_of<int32_t>(pairs);
  check_parts(arguments);
  for (size_t scale = 0; scale < arrays.size(); ++scale) check_map_shape(arguments, scale, shape_of(arrays[scale]));
  const GilRelease released;
  render_targets(arguments, data, threads > 0 ? threads : default_threads());
}

#if defined(SIMPLEPOSE_WITH_CUDA)
void bound_render_targets_cuda(const py::object& keypoints, const py::object& parts, const py::object& rules,
                               const py::list& maps, bool envelope, std::uintptr_t stream) {
  const DLTensor& points = borrowed_tensor("keypoints", keypoints, {kFloat32}, 4);
  const DLTensor& pairs = borrowed_tensor("parts", parts, {kInt32}, 2);
  if (maps.empty()) throw py::value_error("maps: expected one tensor a scale, got none");
  std::vector<const DLTensor*> tensors{&pairs};
  std::vector<void*> data;
  for (const py::handle map : maps) {
    tensors.push_back(&borrowed_tensor("maps", map, {kFloat32, kFloat16, kBFloat16}, 4));
    data.push_back(data_of<char>(*tensors.back()));
    if (!(tensors.back()->dtype == tensors[1]->dtype)) throw py::value_error("maps: expected one type for all scales");
  }
  TargetArguments arguments = arguments_of(shape_of(points), pairs.shape[0], shape_of(*tensors[1]), envelope, rules);
  if (arguments.rules.paf) throw py::value_error("rules: the kernels render no part affinity fields");
  arguments.keypoints = data_of<float>(points);
  arguments.parts = data_of<int32_t>(pairs);
  for (size_t scale = 0; scale < data.size(); ++scale) check_map_shape(arguments, scale, shape_of(*tensors[scale + 1]));
  for (const DLTensor* tensor : tensors)
    if (tensor->device.device_id != points.device.device_id)
      throw py::value_error("render_targets: expected every tensor on device " +
                            std::to_string(points.device.device_id) + ", got one on device " +
                            std::to_string(tensor->device.device_id));
  const GilRelease released;
  render_targets_cuda(arguments, data, map_type(*tensors[1]), points.device.device_id, reinterpret_cast<void*>(stream));
}
#endif

py::dict bound_cuda_status(int device) {
  py::dict answer;
#if defined(SIMPLEPOSE_WITH_CUDA)
  const CudaStatus status = cuda_status(device);
  answer["usable"] = status.usable;
  answer["reason"] = status.reason;
  answer["devices"] = status.devices;
  answer["name"] = status.name;
  answer["architecture"] = status.architecture;
#else
  (void)device;
  answer["usable"] = false;
  answer["reason"] = "this build has no CUDA ops";
  answer["devices"] = 0;
  answer["name"] = "";
  answer["architecture"] = "";
#endif
  return answer;
}

}  // namespace

void bind_targets(py::module_& module) {
  module.def("render_targets", &bound_render_targets, py::arg("keypoints"), py::arg("parts"), py::arg("rules"),
             py::arg("maps"), py::arg("envelope"), py::arg("threads"),
             "Draws into the maps; arrays as csrc/render_targets/render_targets.h says, threads 0 for all.");
#if defined(SIMPLEPOSE_WITH_CUDA)
  module.def("render_targets_cuda", &bound_render_targets_cuda, py::arg("keypoints"), py::arg("parts"),
             py::arg("rules"), py::arg("maps"), py::arg("envelope"), py::arg("stream"),
             "The same on the GPU, with borrowed DLPack capsules and a stream as an integer.");
#endif
  module.def("cuda_status", &bound_cuda_status, py::arg("device") = 0,
             "Whether a CUDA device is usable and why not: usable, reason, devices, name, architecture. Never raises.");
  module.def("uses_avx2", &use_avx2, "Whether the CPU ops run their AVX2 code.");
  module.def("uses_avx512", &use_avx512, "Whether find_peaks and match_parts run their AVX-512 code.");
}

}  // namespace simplepose
