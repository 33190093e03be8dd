// The data that the decoding ops exchange, each for one image. The Python package has the same types.
#pragma once

#include <cstdint>
#include <vector>

#include "common/float_maths.h"

namespace simplepose {

// The part of a skeleton that decoding needs.
struct Skeleton {
  int keypoints = 0;                  // J
  std::vector<int32_t> from, to;      // [L] keypoint types of each part
  std::vector<int16_t> part_between;  // [J * J] the part that connects two types, in either direction, or -1
  int parts() const { return static_cast<int>(from.size()); }

  // `parts` [count, 2] contains keypoint types below `keypoint_types`.
  static Skeleton of(int keypoint_types, const int32_t* parts, int count) {
    Skeleton skeleton;
    skeleton.keypoints = keypoint_types;
    skeleton.part_between.assign(keypoint_types * keypoint_types, -1);
    for (int part = 0; part < count; ++part) {
      const int32_t a = parts[2 * part], b = parts[2 * part + 1];
      skeleton.from.push_back(a), skeleton.to.push_back(b);
      skeleton.part_between[a * keypoint_types + b] = static_cast<int16_t>(part);
      skeleton.part_between[b * keypoint_types + a] = static_cast<int16_t>(part);
    }
    return skeleton;
  }
};

// DecodeConfig of the Python package, with thresholds rounded to float32. Lengths are cells of the maps.
struct DecodeSettings {
  float peak_threshold;         // rule 1: the minimum value of a peak
  float part_threshold;         // rule 2: the value that a sample along a part must exceed
  float max_part_ratio;         // rule 8: longer parts, as a multiple of the median part, are cut; 0 skips the rule
  float min_cut_length;         // rule 8: shorter parts are never cut
  float min_single_score;       // rule 5: the minimum score of a single keypoint
  float join_distance;          // rule 5: fragments are joined within join_distance * size; 0 skips the rule
  float min_join_size;          // rule 5: the minimum size of a fragment
  int max_peaks;                // rule 1: the maximum number of peaks of a keypoint type
  int num_samples;              // rule 2: the number of samples along a part, both ends included
  int min_samples;              // rule 2: the number of samples that must exceed the threshold
  int min_keypoints;            // rule 6: the minimum number of keypoints of a pose
  bool part_score_product;      // rule 2: response times both peak scores; false: the paper's weighted sum
  bool reassign;                // rule 4
  bool allow_shared_keypoints;  // rule 7
  bool paf = false;             // part maps are affinity fields: two channels for each part
  bool length_penalty = false;  // rule 2, affinity fields: parts longer than half the maps' height
};

// The number of channels of the part maps.
inline int part_channels(const Skeleton& skeleton, const DecodeSettings& settings) {
  return skeleton.parts() * (settings.paf ? 2 : 1);
}

// Peaks by type, then descending score, then raster index; x, y in grid cells.
struct Peaks {
  std::vector<float> x, y, score;
  std::vector<int32_t> type;
  std::vector<int32_t> first;  // [J + 1] index of the first peak of each type
  bool truncated = false;      // whether max_peaks dropped any peak
  int32_t size() const { return static_cast<int32_t>(x.size()); }
  void clear() {
    x.clear(), y.clear(), score.clear(), type.clear();
    first.assign(1, 0);
    truncated = false;
  }
};

// Candidate parts by part type, then descending part score, then peak indices.
struct CandidateParts {
  std::vector<int32_t> from, to;
  std::vector<float> response, score;
  std::vector<int32_t> first;  // [L + 1] index of the first candidate of each part type
  int32_t size() const { return static_cast<int32_t>(from.size()); }
  void resize(size_t count) {
    from.resize(count), to.resize(count);
    response.resize(count), score.resize(count);
  }
  void clear() {
    from.clear(), to.clear(), response.clear(), score.clear();
    first.assign(1, 0);
  }
};

// The peaks at the two ends of a part type.
struct PartEnds {
  int32_t from_begin, from_end, to_begin, to_end;
  int32_t from_count() const { return from_end - from_begin; }
  int32_t to_count() const { return to_end - to_begin; }
  int64_t pairs() const { return int64_t{from_count()} * to_count(); }
};

inline PartEnds part_ends(const Skeleton& skeleton, const Peaks& peaks, int part) {
  const int32_t from = skeleton.from[part], to = skeleton.to[part];
  return {peaks.first[from], peaks.first[from + 1], peaks.first[to], peaks.first[to + 1]};
}

// People by descending score.
struct People {
  std::vector<int32_t> peak;  // [N * J] peak index, -1 where the keypoint is missing
  std::vector<float> score;   // [N]
  int32_t size() const { return static_cast<int32_t>(score.size()); }
};

// A map [height, width] in memory, for the code that CPU and CUDA share.
struct PlainMap {
  const float* cells;
  int width;

  SP_HD float operator()(int y, int x) const { return cells[int64_t{y} * width + x]; }
};

// The bits of a key that sorts values in descending order: as unsigned integers, larger values have smaller keys.
SP_HD uint32_t descending_bits(float value) {
  const auto bits = static_cast<uint32_t>(float_bits(value));
  const uint32_t ascending = (bits & 0x80000000u) ? ~bits : bits | 0x80000000u;
  return ~ascending;
}

}  // namespace simplepose
