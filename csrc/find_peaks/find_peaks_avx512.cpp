// find_peaks with AVX-512: the code of find_peaks_vectors.h.
#include "common/simd.h"
#if SP_X86
#include "common/vectors_avx512.h"
#include "find_peaks/find_peaks_vectors.h"

namespace simplepose {

SP_VECTOR void scan_avx512(Scan& scan) { scan_map(scan); }

SP_VECTOR void subpixel_avx512(PeakScratch& scratch) { subpixel(scratch); }

}  // namespace simplepose
#endif
