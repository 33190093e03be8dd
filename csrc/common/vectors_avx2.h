// Vectors of eight lanes (AVX2), under the names that <op>_vectors.h uses. A source file includes either this header or
// vectors_avx512.h. Masks have one bit per lane.
#pragma once

#include <immintrin.h>

#include <cfloat>
#include <cstdint>
#include <cstring>

#include "common/simd.h"

#define SP_VECTOR SP_AVX2

namespace simplepose {
namespace {

constexpr int kLanes = 8;
using Floats = __m256;  // the compiler has + - * / for them
using Ints = __m256i;   // int32

SP_VECTOR SP_INLINE Floats splat(float value) { return _mm256_set1_ps(value); }
SP_VECTOR SP_INLINE Ints splat(int32_t value) { return _mm256_set1_epi32(value); }
SP_VECTOR SP_INLINE Ints ramp() { return _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7); }

SP_VECTOR SP_INLINE Floats load(const float* from) { return _mm256_loadu_ps(from); }
SP_VECTOR SP_INLINE Ints load(const int32_t* from) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
}
SP_VECTOR SP_INLINE void store(float* to, Floats values) { _mm256_storeu_ps(to, values); }
SP_VECTOR SP_INLINE void store(int32_t* to, Ints values) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), values);
}
// The first `count` lanes, the others are 0 and not read.
SP_VECTOR SP_INLINE Floats load_first(const float* from, int count) {
  return _mm256_maskload_ps(from, _mm256_cmpgt_epi32(splat(count), ramp()));
}

// The second operand where one is NaN.
SP_VECTOR SP_INLINE Floats lesser(Floats a, Floats b) { return _mm256_min_ps(a, b); }
SP_VECTOR SP_INLINE Floats greater(Floats a, Floats b) { return _mm256_max_ps(a, b); }

SP_VECTOR SP_INLINE Floats square_root(Floats a) { return _mm256_sqrt_ps(a); }
// `values` in the lanes where a > b, 0 in the others.
SP_VECTOR SP_INLINE Floats zero_unless_above(Floats values, Floats a, Floats b) {
  return _mm256_and_ps(values, _mm256_cmp_ps(a, b, _CMP_GT_OQ));
}

SP_VECTOR SP_INLINE Ints add(Ints a, Ints b) { return _mm256_add_epi32(a, b); }
SP_VECTOR SP_INLINE Ints multiply(Ints a, Ints b) { return _mm256_mullo_epi32(a, b); }
SP_VECTOR SP_INLINE Ints lesser(Ints a, Ints b) { return _mm256_min_epi32(a, b); }
SP_VECTOR SP_INLINE Ints greater(Ints a, Ints b) { return _mm256_max_epi32(a, b); }
SP_VECTOR SP_INLINE Ints shift_right(Ints a, int bits) { return _mm256_srl_epi32(a, _mm_cvtsi32_si128(bits)); }
SP_VECTOR SP_INLINE Ints truncate(Floats a) { return _mm256_cvttps_epi32(a); }
SP_VECTOR SP_INLINE Floats to_floats(Ints a) { return _mm256_cvtepi32_ps(a); }
// The bits of |a|. As integers they have the order of the magnitudes; NaN is above infinity.
SP_VECTOR SP_INLINE Ints magnitude_bits(Floats a) {
  return _mm256_and_si256(_mm256_castps_si256(a), _mm256_set1_epi32(0x7fffffff));
}

// Masks of comparisons; those with NaN are false.
SP_VECTOR SP_INLINE unsigned above(Floats a, Floats b) {
  return static_cast<unsigned>(_mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_GT_OQ)));
}
SP_VECTOR SP_INLINE unsigned at_least(Floats a, Floats b) {
  return static_cast<unsigned>(_mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_GE_OQ)));
}
// True with NaN.
SP_VECTOR SP_INLINE unsigned not_at_most(Floats a, Floats b) {
  return static_cast<unsigned>(_mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_NLE_UQ)));
}
SP_VECTOR SP_INLINE unsigned above(Ints a, Ints b) {
  return static_cast<unsigned>(_mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpgt_epi32(a, b))));
}
SP_VECTOR SP_INLINE unsigned not_finite(Floats a) { return above(magnitude_bits(a), splat(0x7f7fffff)); }

// The masks mask(0), mask(kLanes), ... of 64 elements in one word.
template <typename Mask>
SP_VECTOR SP_INLINE uint64_t mask_of_64(const Mask& mask) {
  uint64_t word = 0;
  for (int i = 0; i < 64; i += kLanes) word |= uint64_t{mask(i)} << i;
  return word;
}

// The even bits of a word, moved together. The instruction for it is slow on some processors without AVX-512.
SP_VECTOR SP_INLINE uint64_t even_bits(uint64_t word) {
  word &= 0x5555555555555555u;
  word = (word | word >> 1) & 0x3333333333333333u;
  word = (word | word >> 2) & 0x0f0f0f0f0f0f0f0fu;
  word = (word | word >> 4) & 0x00ff00ff00ff00ffu;
  word = (word | word >> 8) & 0x0000ffff0000ffffu;
  return (word | word >> 16) & 0x00000000ffffffffu;
}

// `counts` plus 1 in the lanes where a > b.
SP_VECTOR SP_INLINE Ints count_above(Ints counts, Floats a, Floats b) {
  return _mm256_sub_epi32(counts, _mm256_castps_si256(_mm256_cmp_ps(a, b, _CMP_GT_OQ)));
}

// Permutations that move the lanes of a mask to the front, in order.
struct FrontTable {
  uint8_t lanes[256][8] = {};
  FrontTable() {
    for (int mask = 0; mask < 256; ++mask) {
      int count = 0;
      for (uint8_t lane = 0; lane < 8; ++lane) {
        if (mask >> lane & 1) lanes[mask][count++] = lane;
      }
    }
  }
};
const FrontTable kFront;

// Stores the lanes of a mask one after the other. All kLanes elements are written.
class Packer {
 public:
  SP_VECTOR SP_INLINE explicit Packer(unsigned mask)
      : front_(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(kFront.lanes[mask])))) {}
  SP_VECTOR SP_INLINE void store(float* to, Floats values) const {
    _mm256_storeu_ps(to, _mm256_permutevar8x32_ps(values, front_));
  }
  SP_VECTOR SP_INLINE void store(int32_t* to, Ints values) const {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm256_permutevar8x32_epi32(values, front_));
  }

 private:
  __m256i front_;
};

// Two neighboring floats from each of eight places, for which scalar loads are faster than a gather: `low` gets the
// first ones, `high` the second ones.
SP_VECTOR SP_INLINE void load_neighbors(const float* from, const int32_t* place, Floats* low, Floats* high) {
  const auto load = [from, place](int i) SP_VECTOR {
    double both;  // the two floats; they need not be aligned as a double is
    std::memcpy(&both, from + place[i], sizeof both);
    return _mm_castpd_ps(_mm_set_sd(both));
  };
  const auto two = [from, place, load](int i, int j)
                       SP_VECTOR { return _mm_loadh_pi(load(i), reinterpret_cast<const __m64*>(from + place[j])); };
  const __m256 even = _mm256_insertf128_ps(_mm256_castps128_ps256(two(0, 1)), two(4, 5), 1);
  const __m256 odd = _mm256_insertf128_ps(_mm256_castps128_ps256(two(2, 3)), two(6, 7), 1);
  *low = _mm256_shuffle_ps(even, odd, _MM_SHUFFLE(2, 0, 2, 0));
  *high = _mm256_shuffle_ps(even, odd, _MM_SHUFFLE(3, 1, 3, 1));
}

// A table of 64 x 64 bits: row y consists of words 2 y and 2 y + 1.
class BitTable {
 public:
  SP_VECTOR SP_INLINE explicit BitTable(const uint32_t* words) : words_(words) {}
  // The bits (x, y) as 0 or 1.
  SP_VECTOR SP_INLINE Ints bits(Ints x, Ints y) const {
    const __m256i index = _mm256_add_epi32(_mm256_add_epi32(y, y), _mm256_srli_epi32(x, 5));
    const __m256i word = _mm256_i32gather_epi32(reinterpret_cast<const int*>(words_), index, 4);
    const __m256i bit = _mm256_srlv_epi32(word, _mm256_and_si256(x, _mm256_set1_epi32(31)));
    return _mm256_and_si256(bit, _mm256_set1_epi32(1));
  }

 private:
  const uint32_t* words_;
};

}  // namespace
}  // namespace simplepose
