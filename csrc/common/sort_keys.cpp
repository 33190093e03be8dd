// sort_keys: few keys are counted, not sorted. The place of a key is the number of smaller keys. Counting takes the
// square of their number in comparisons, but in vectors and without branches, which std::sort mostly predicts wrong.
#include "common/sort_keys.h"

#include <algorithm>

#include "common/simd.h"

namespace simplepose {
namespace {

constexpr size_t kFewKeys = 256;

#if SP_X86
SP_INLINE void count_smaller(const uint64_t* keys, size_t count, uint64_t* sorted) {
  for (size_t i = 0; i < count; ++i) {
    const uint64_t key = keys[i];
    uint64_t place = 0;
    for (size_t j = 0; j < count; ++j) place += keys[j] < key;
    sorted[place] = key;
  }
}

SP_AVX2 void count_smaller_avx2(const uint64_t* keys, size_t count, uint64_t* sorted) {
  count_smaller(keys, count, sorted);
}
SP_AVX512 void count_smaller_avx512(const uint64_t* keys, size_t count, uint64_t* sorted) {
  count_smaller(keys, count, sorted);
}
#endif

}  // namespace

void sort_keys(uint64_t* keys, size_t count) {
#if SP_X86
  if (count <= kFewKeys && use_avx2()) {
    uint64_t sorted[kFewKeys];
    use_avx512() ? count_smaller_avx512(keys, count, sorted) : count_smaller_avx2(keys, count, sorted);
    std::copy_n(sorted, count, keys);
    return;
  }
#endif
  std::sort(keys, keys + count);
}

}  // namespace simplepose
