// The structs of DLPack's stable ABI (the capsules named "dltensor"), without Python.
#pragma once

#include <cstdint>

namespace simplepose {

struct DLDevice {
  int32_t device_type;
  int32_t device_id;
};

struct DLDataType {
  uint8_t code;
  uint8_t bits;
  uint16_t lanes;
};

struct DLTensor {
  void* data;
  DLDevice device;
  int32_t ndim;
  DLDataType dtype;
  int64_t* shape;
  int64_t* strides;  // null: C-contiguous
  uint64_t byte_offset;
};

struct DLManagedTensor {
  DLTensor tensor;
  void* manager_context;
  void (*deleter)(DLManagedTensor*);
};

constexpr int32_t kDLCuda = 2;
constexpr DLDataType kInt32{0, 32, 1}, kInt64{0, 64, 1}, kFloat32{2, 32, 1}, kFloat16{2, 16, 1}, kBFloat16{4, 16, 1};

inline bool operator==(const DLDataType& a, const DLDataType& b) {
  return a.code == b.code && a.bits == b.bits && a.lanes == b.lanes;
}

// Whether the elements lie in row-major order without gaps. Strides of axes with one element are ignored, and all
// strides if there are no elements.
inline bool is_contiguous(const int64_t* shape, const int64_t* strides, int32_t ndim) {
  if (!strides) return true;
  int64_t step = 1;
  bool in_order = true;
  for (int32_t axis = ndim - 1; axis >= 0; --axis) {
    if (shape[axis] == 0) return true;
    in_order = in_order && (shape[axis] == 1 || strides[axis] == step);
    step *= shape[axis];
  }
  return in_order;
}

}  // namespace simplepose
