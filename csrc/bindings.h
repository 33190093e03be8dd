// What the files of the Python module share.
#pragma once

#include "arrays.h"

namespace simplepose {

void bind_targets(py::module_& module);

}  // namespace simplepose
