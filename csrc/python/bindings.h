// The functions that register the parts of the Python module, one per file.
#pragma once

#include "python/arrays.h"
#include "python/gil.h"

namespace simplepose {

void bind_decode(py::module_& module);
void bind_decode_cuda(py::module_& module);  // in builds with CUDA
void bind_targets(py::module_& module);

}  // namespace simplepose
