// The three decoding ops in sequence, for one image, in memory that later calls reuse.
#pragma once

#include <limits>

#include "assign_keypoints/assign_keypoints.h"
#include "find_peaks/find_peaks.h"
#include "match_parts/match_parts.h"

namespace simplepose {

struct Workspace {
  Peaks peaks;
  Peaks in_part_grid;  // the peaks, at their positions in part maps of another stride
  CandidateParts candidates;
  People people;
  PeakScratch find;
  MatchScratch match;
  AssignScratch assign;
};

// Maps [L + J (or more), height, width] ([2 L + J] of affinity fields): part maps, then keypoint maps. The result is in
// workspace.people.
inline void decode(const float* maps, int height, int width, const Skeleton& skeleton, const DecodeSettings& settings,
                   Workspace& workspace) {
  const float* keypoint_maps = maps + int64_t{part_channels(skeleton, settings)} * height * width;
  find_peaks(keypoint_maps, skeleton.keypoints, height, width, settings, workspace.peaks, workspace.find);
  match_parts(maps, height, width, workspace.peaks, skeleton, settings, workspace.candidates, workspace.match);
  assign_keypoints(workspace.peaks, workspace.candidates, skeleton, settings, workspace.people, workspace.assign);
}

// Part maps [L, height, width] ([2 L] of affinity fields) of another stride than the keypoint maps: a peak at cell x of
// those lies at cell x * scale + shift.
struct PartGrid {
  const float* maps;
  int height, width;
  float scale, shift;
};

// Keypoint maps [J, height, width] and part maps of their own. Reference: to_part_grid of match_parts.
inline void decode_two_grids(const float* keypoint_maps, int height, int width, const PartGrid& parts,
                             const Skeleton& skeleton, const DecodeSettings& settings, Workspace& workspace) {
  find_peaks(keypoint_maps, skeleton.keypoints, height, width, settings, workspace.peaks, workspace.find);
  Peaks& moved = workspace.in_part_grid;
  moved = workspace.peaks;
  for (float& x : moved.x) x = x * parts.scale + parts.shift;
  for (float& y : moved.y) y = y * parts.scale + parts.shift;
  match_parts(parts.maps, parts.height, parts.width, moved, skeleton, settings, workspace.candidates, workspace.match);
  assign_keypoints(workspace.peaks, workspace.candidates, skeleton, settings, workspace.people, workspace.assign);
}

// Rows [N, J, 3] of people: x, y (times scale, plus shift) and score, (NaN, NaN, 0) where a keypoint is missing.
inline void write_people(const People& people, const Peaks& peaks, float scale, float shift, float* out) {
  const float missing = std::numeric_limits<float>::quiet_NaN();
  for (const int32_t peak : people.peak) {
    out[0] = peak < 0 ? missing : peaks.x[peak] * scale + shift;
    out[1] = peak < 0 ? missing : peaks.y[peak] * scale + shift;
    out[2] = peak < 0 ? 0.0f : peaks.score[peak];
    out += 3;
  }
}

}  // namespace simplepose
