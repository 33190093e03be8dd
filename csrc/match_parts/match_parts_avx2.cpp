// match_parts with AVX2: the code of match_parts_vectors.h.
#include "common/simd.h"
#if SP_X86
#include "common/vectors_avx2.h"
#include "match_parts/match_parts_vectors.h"

namespace simplepose {

SP_VECTOR void match_part_avx2(const Part& part, const Part* next, MatchScratch& scratch) {
  match_part(part, next, scratch);
}

}  // namespace simplepose
#endif
