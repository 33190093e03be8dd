// Sorting of 64-bit keys that are all different, in ascending order.
#pragma once

#include <cstddef>
#include <cstdint>

namespace simplepose {

void sort_keys(uint64_t* keys, size_t count);

}  // namespace simplepose
