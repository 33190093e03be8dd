// find_peaks with AVX2: the code of find_peaks_vectors.h.
#include "common/simd.h"
#if SP_X86
#include "common/vectors_avx2.h"
#include "find_peaks/find_peaks_vectors.h"

namespace simplepose {

SP_VECTOR void scan_avx2(Scan& scan) { scan_map(scan); }

SP_VECTOR void subpixel_avx2(PeakScratch& scratch) { subpixel(scratch); }

}  // namespace simplepose
#endif
