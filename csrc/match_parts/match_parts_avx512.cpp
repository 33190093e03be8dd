// match_parts with AVX-512: the code of match_parts_vectors.h.
#include "common/simd.h"
#if SP_X86
#include "common/vectors_avx512.h"
#include "match_parts/match_parts_vectors.h"

namespace simplepose {

SP_VECTOR void match_part_avx512(const Part& part, const Part* next, MatchScratch& scratch) {
  match_part(part, next, scratch);
}

}  // namespace simplepose
#endif
