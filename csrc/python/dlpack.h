// Tensors borrowed from DLPack capsules.
//
// A borrowed capsule is read during one call. It is not renamed and its deleter is not called, so it keeps its owner,
// which frees the tensor with the capsule.
#pragma once

#include <pybind11/pybind11.h>

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include "common/half.h"
#include "python/arrays.h"
#include "python/dltensor.h"

namespace simplepose {

inline std::string name_of(const DLDataType& type) {
  const char* const kind = type.code == 0 ? "int" : type.code == 2 ? "float" : type.code == 4 ? "bfloat" : "type";
  return kind + std::to_string(type.bits);
}

// Throws TypeError for an object that is not a capsule (`got` is null), ValueError for another tensor.
[[noreturn]] inline void throw_wrong_tensor(const char* name, std::initializer_list<DLDataType> types, int32_t ndim,
                                            const DLTensor* got) {
  std::string expected = std::string(name) + ": expected a contiguous CUDA tensor of ";
  for (const DLDataType& type : types) expected += (&type == types.begin() ? "" : " or ") + name_of(type);
  expected += " with " + std::to_string(ndim) + " dimensions";
  if (!got) throw py::type_error(expected + " as an unused DLPack capsule");
  throw py::value_error(expected + ", got device type " + std::to_string(got->device.device_type) + ", " +
                        name_of(got->dtype) + ", " + std::to_string(got->ndim) + " dimensions" +
                        (is_contiguous(got->shape, got->strides, got->ndim) ? "" : ", not contiguous"));
}

// A C-contiguous CUDA tensor with `ndim` dimensions of one of `types`.
inline const DLTensor& borrowed_tensor(const char* name, const py::handle& object,
                                       std::initializer_list<DLDataType> types, int32_t ndim) {
  if (!PyCapsule_IsValid(object.ptr(), "dltensor")) throw_wrong_tensor(name, types, ndim, nullptr);
  const auto* managed = static_cast<const DLManagedTensor*>(PyCapsule_GetPointer(object.ptr(), "dltensor"));
  const DLTensor& tensor = managed->tensor;
  const bool known = std::find(types.begin(), types.end(), tensor.dtype) != types.end();
  if (tensor.device.device_type != kDLCuda || !known || tensor.ndim != ndim ||
      !is_contiguous(tensor.shape, tensor.strides, ndim))
    throw_wrong_tensor(name, types, ndim, &tensor);
  return tensor;
}

template <typename T>
T* data_of(const DLTensor& tensor) {
  return reinterpret_cast<T*>(static_cast<char*>(tensor.data) + tensor.byte_offset);
}

inline std::vector<int64_t> shape_of(const DLTensor& tensor) {
  return std::vector<int64_t>(tensor.shape, tensor.shape + tensor.ndim);
}

// The element type of a tensor of float32, float16 or bfloat16.
inline MapType map_type(const DLTensor& tensor) {
  if (tensor.dtype == kFloat32) return MapType::kFloat32;
  return tensor.dtype == kFloat16 ? MapType::kFloat16 : MapType::kBFloat16;
}

}  // namespace simplepose
