// Tensors borrowed from DLPack capsules.
//
// A borrowed capsule is read during one call: it is not renamed and its deleter is not called, so that it stays its
// owner's, who frees it with the capsule.
#pragma once

#include <pybind11/pybind11.h>

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include "python/dltensor.h"

namespace simplepose {

inline std::string name_of(const DLDataType& type) {
  const char* const kind = type.code == 0 ? "int" : type.code == 2 ? "float" : type.code == 4 ? "bfloat" : "type";
  return kind + std::to_string(type.bits);
}

// A C-contiguous CUDA tensor with `ndim` dimensions of one of `types`; anything else is an error that says so.
inline const DLTensor& borrowed_tensor(const char* name, const pybind11::handle& object,
                                       std::initializer_list<DLDataType> types, int32_t ndim) {
  std::string expected = std::string(name) + ": expected a contiguous CUDA tensor of ";
  for (const DLDataType& type : types) expected += (&type == types.begin() ? "" : " or ") + name_of(type);
  expected += " with " + std::to_string(ndim) + " dimensions";
  auto* managed = PyCapsule_IsValid(object.ptr(), "dltensor")
                      ? static_cast<DLManagedTensor*>(PyCapsule_GetPointer(object.ptr(), "dltensor"))
                      : nullptr;
  if (!managed) throw pybind11::type_error(expected + " as an unused DLPack capsule");
  const DLTensor& tensor = managed->tensor;
  const bool known = std::find(types.begin(), types.end(), tensor.dtype) != types.end();
  if (tensor.device.device_type != kDLCuda || !known || tensor.ndim != ndim)
    throw pybind11::value_error(expected + ", got device type " + std::to_string(tensor.device.device_type) + ", " +
                                name_of(tensor.dtype) + ", " + std::to_string(tensor.ndim) + " dimensions");
  if (!is_contiguous(tensor.shape, tensor.strides, ndim))
    throw pybind11::value_error(expected + ", got one that is not contiguous");
  return tensor;
}

template <typename T>
T* data_of(const DLTensor& tensor) {
  return reinterpret_cast<T*>(static_cast<char*>(tensor.data) + tensor.byte_offset);
}

inline std::vector<int64_t> shape_of(const DLTensor& tensor) {
  return std::vector<int64_t>(tensor.shape, tensor.shape + tensor.ndim);
}

}  // namespace simplepose
