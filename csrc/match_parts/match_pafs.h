// match_parts for part affinity fields: the candidate parts of fields of vectors (rule 2). Reference: match_parts of
// the reference implementation with encoding "paf".
#pragma once

#include "match_parts/match_parts.h"

namespace simplepose {

// Part maps [2 L, height, width], row by row: x, then y of each part. A sample is the vector's component along the
// pair. At most kMaxSamples samples.
void match_pafs(const float* maps, int height, int width, const Peaks& peaks, const Skeleton& skeleton,
                const DecodeSettings& settings, CandidateParts& candidates, MatchScratch& scratch);

}  // namespace simplepose
