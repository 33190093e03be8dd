// Vectors of sixteen lanes (AVX-512), under the names that <op>_vectors.h uses; vectors_avx2.h describes each.
#pragma once

#if defined(__GNUC__) && !defined(__clang__)  // gcc 12 warns of the undefined vectors in its own header
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop
#else
#include <immintrin.h>
#endif

#include <cstdint>
#include <cstring>

#include "common/simd.h"

#define SP_VECTOR SP_AVX512

namespace simplepose {
namespace {

constexpr int kLanes = 16;
using Floats = __m512;
using Ints = __m512i;

SP_VECTOR SP_INLINE Floats splat(float value) { return _mm512_set1_ps(value); }
SP_VECTOR SP_INLINE Ints splat(int32_t value) { return _mm512_set1_epi32(value); }
SP_VECTOR SP_INLINE Ints ramp() { return _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15); }

SP_VECTOR SP_INLINE Floats load(const float* from) { return _mm512_loadu_ps(from); }
SP_VECTOR SP_INLINE Ints load(const int32_t* from) { return _mm512_loadu_si512(from); }
SP_VECTOR SP_INLINE void store(float* to, Floats values) { _mm512_storeu_ps(to, values); }
SP_VECTOR SP_INLINE void store(int32_t* to, Ints values) { _mm512_storeu_si512(to, values); }
SP_VECTOR SP_INLINE Floats load_first(const float* from, int count) {
  return _mm512_maskz_loadu_ps(static_cast<__mmask16>(count >= kLanes ? 0xffff : (1u << count) - 1), from);
}

SP_VECTOR SP_INLINE Floats lesser(Floats a, Floats b) { return _mm512_min_ps(a, b); }
SP_VECTOR SP_INLINE Floats greater(Floats a, Floats b) { return _mm512_max_ps(a, b); }

SP_VECTOR SP_INLINE Floats square_root(Floats a) { return _mm512_sqrt_ps(a); }
SP_VECTOR SP_INLINE Floats zero_unless_above(Floats values, Floats a, Floats b) {
  return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(a, b, _CMP_GT_OQ), values);
}

SP_VECTOR SP_INLINE Ints add(Ints a, Ints b) { return _mm512_add_epi32(a, b); }
SP_VECTOR SP_INLINE Ints multiply(Ints a, Ints b) { return _mm512_mullo_epi32(a, b); }
SP_VECTOR SP_INLINE Ints lesser(Ints a, Ints b) { return _mm512_min_epi32(a, b); }
SP_VECTOR SP_INLINE Ints greater(Ints a, Ints b) { return _mm512_max_epi32(a, b); }
SP_VECTOR SP_INLINE Ints shift_right(Ints a, int bits) { return _mm512_srl_epi32(a, _mm_cvtsi32_si128(bits)); }
SP_VECTOR SP_INLINE Ints truncate(Floats a) { return _mm512_cvttps_epi32(a); }
SP_VECTOR SP_INLINE Floats to_floats(Ints a) { return _mm512_cvtepi32_ps(a); }
SP_VECTOR SP_INLINE Ints magnitude_bits(Floats a) {
  return _mm512_and_si512(_mm512_castps_si512(a), _mm512_set1_epi32(0x7fffffff));
}

SP_VECTOR SP_INLINE unsigned above(Floats a, Floats b) { return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ); }
SP_VECTOR SP_INLINE unsigned at_least(Floats a, Floats b) { return _mm512_cmp_ps_mask(a, b, _CMP_GE_OQ); }
SP_VECTOR SP_INLINE unsigned not_at_most(Floats a, Floats b) { return _mm512_cmp_ps_mask(a, b, _CMP_NLE_UQ); }
SP_VECTOR SP_INLINE unsigned above(Ints a, Ints b) { return _mm512_cmpgt_epi32_mask(a, b); }
SP_VECTOR SP_INLINE unsigned not_finite(Floats a) { return above(magnitude_bits(a), splat(0x7f7fffff)); }

// Joined in mask registers.
template <typename Mask>
SP_VECTOR SP_INLINE uint64_t mask_of_64(const Mask& mask) {
  return _mm512_kunpackd(_mm512_kunpackw(mask(48), mask(32)), _mm512_kunpackw(mask(16), mask(0)));
}

SP_VECTOR SP_INLINE uint64_t even_bits(uint64_t word) { return _pext_u64(word, 0x5555555555555555u); }

SP_VECTOR SP_INLINE Ints count_above(Ints counts, Floats a, Floats b) {
  return _mm512_mask_add_epi32(counts, _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ), counts, _mm512_set1_epi32(1));
}

class Packer {
 public:
  SP_VECTOR SP_INLINE explicit Packer(unsigned mask) : mask_(static_cast<__mmask16>(mask)) {}
  // In a register: compressing to memory is slow on some processors.
  SP_VECTOR SP_INLINE void store(float* to, Floats values) const {
    _mm512_storeu_ps(to, _mm512_maskz_compress_ps(mask_, values));
  }
  SP_VECTOR SP_INLINE void store(int32_t* to, Ints values) const {
    _mm512_storeu_si512(to, _mm512_maskz_compress_epi32(mask_, values));
  }

 private:
  __mmask16 mask_;
};

SP_VECTOR SP_INLINE void load_neighbors(const float* from, const int32_t* place, Floats* low, Floats* high) {
  const auto load = [from, place](int i) SP_VECTOR {
    double both;
    std::memcpy(&both, from + place[i], sizeof both);
    return _mm_castpd_ps(_mm_set_sd(both));
  };
  const auto two = [from, place, load](int i, int j)
                       SP_VECTOR { return _mm_loadh_pi(load(i), reinterpret_cast<const __m64*>(from + place[j])); };
  const auto four = [two](int i) SP_VECTOR {
    __m512 all = _mm512_castps128_ps512(two(i, i + 1));
    all = _mm512_insertf32x4(all, two(i + 4, i + 5), 1);
    all = _mm512_insertf32x4(all, two(i + 8, i + 9), 2);
    return _mm512_insertf32x4(all, two(i + 12, i + 13), 3);
  };
  const __m512 even = four(0), odd = four(2);
  *low = _mm512_shuffle_ps(even, odd, _MM_SHUFFLE(2, 0, 2, 0));
  *high = _mm512_shuffle_ps(even, odd, _MM_SHUFFLE(3, 1, 3, 1));
}

// The table stays in eight registers.
class BitTable {
 public:
  SP_VECTOR SP_INLINE explicit BitTable(const uint32_t* words) {
    for (int i = 0; i < 8; ++i) words_[i] = _mm512_loadu_si512(words + 16 * i);
  }
  SP_VECTOR SP_INLINE Ints bits(Ints x, Ints y) const {
    const __m512i index = _mm512_add_epi32(_mm512_add_epi32(y, y), _mm512_srli_epi32(x, 5));
    const __mmask16 odd = _mm512_test_epi32_mask(index, _mm512_set1_epi32(32));
    const __mmask16 upper = _mm512_test_epi32_mask(index, _mm512_set1_epi32(64));
    const __m512i low = _mm512_mask_blend_epi32(odd, quarter(0, index), quarter(1, index));
    const __m512i high = _mm512_mask_blend_epi32(odd, quarter(2, index), quarter(3, index));
    const __m512i word = _mm512_mask_blend_epi32(upper, low, high);
    return _mm512_and_si512(_mm512_rorv_epi32(word, x), _mm512_set1_epi32(1));
  }

 private:
  // Word 32 i + index % 32.
  SP_VECTOR SP_INLINE Ints quarter(int i, Ints index) const {
    return _mm512_permutex2var_epi32(words_[2 * i], index, words_[2 * i + 1]);
  }

  __m512i words_[8];
};

}  // namespace
}  // namespace simplepose
