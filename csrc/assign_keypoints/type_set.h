// A set of keypoint types.
#pragma once

#include <cstdint>

#include "common/limits.h"

namespace simplepose {

struct TypeSet {
  static constexpr int kWords = kMaxKeypoints / 64;
  uint64_t words[kWords] = {};  // one bit per type

  void add(int type) { words[type >> 6] |= uint64_t{1} << (type & 63); }
  bool meets(const TypeSet& other) const {
    uint64_t common = 0;
    for (int i = 0; i < kWords; ++i) common |= words[i] & other.words[i];
    return common != 0;
  }
  void merge(const TypeSet& other) {
    for (int i = 0; i < kWords; ++i) words[i] |= other.words[i];
  }
};

static_assert(TypeSet::kWords * 64 == kMaxKeypoints, "one bit a type");

}  // namespace simplepose
