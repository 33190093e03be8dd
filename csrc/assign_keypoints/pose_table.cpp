// The links of a PoseTable: candidate parts, sorted by peak.
#include "assign_keypoints/pose_table.h"

namespace simplepose {

void PoseTable::link(const CandidateParts& candidates) {
  const int32_t peak_count = peaks.size(), parts = candidates.size();
  storage_.link_first.assign(peak_count + 2, 0);
  int32_t* next = storage_.link_first.data() + 1;  // shifted by one while the links are filled in
  for (int32_t i = 0; i < parts; ++i) ++next[candidates.from[i] + 1], ++next[candidates.to[i] + 1];
  for (int32_t peak = 0; peak < peak_count; ++peak) next[peak + 1] += next[peak];
  storage_.links.resize(2 * candidates.from.size());
  for (int32_t i = 0; i < parts; ++i) {
    const int32_t a = candidates.from[i], b = candidates.to[i];
    storage_.links[next[a]++] = {b, candidates.score[i]};
    storage_.links[next[b]++] = {a, candidates.score[i]};
  }
}

}  // namespace simplepose
