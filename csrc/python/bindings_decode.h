// Code that the Python functions for decoding on the CPU and on a GPU share.
#pragma once

#include <algorithm>

#include "common/limits.h"
#include "common/parallel.h"
#include "decode/decode.h"
#include "python/bindings.h"

namespace simplepose {

// A skeleton and settings, converted once and used by every call.
struct Decoder {
  Skeleton skeleton;
  DecodeSettings settings;

  Decoder(int keypoints, const py::object& part_index, const py::dict& config) {
    const py::array parts = checked_array<int32_t>("part_index", part_index, {-1, 2});
    if (keypoints < 1 || keypoints > kMaxKeypoints) throw py::value_error("keypoints: out of range");
    for (py::ssize_t i = 0; i < parts.size(); ++i) {
      const int32_t type = data_of<int32_t>(parts)[i];
      if (type < 0 || type >= keypoints) throw py::index_error("part_index");
    }
    skeleton = Skeleton::of(keypoints, data_of<int32_t>(parts), static_cast<int>(parts.shape(0)));
    const auto number = [&config](const char* name) { return static_cast<float>(config[name].cast<double>()); };
    const auto count = [&config](const char* name, int least, int most) {
      const int value = config[name].cast<int>();
      if (value < least || value > most) throw py::value_error(std::string(name) + ": out of range");
      return value;
    };
    settings.peak_threshold = number("peak_threshold");
    settings.part_threshold = number("part_threshold");
    settings.max_part_ratio = number("max_part_ratio");
    settings.min_cut_length = number("min_cut_length");
    settings.min_single_score = number("min_single_score");
    settings.join_distance = number("join_distance");
    settings.min_join_size = number("min_join_size");
    settings.max_peaks = count("max_peaks", 1, kMaxPeaks);
    settings.num_samples = count("num_samples", 2, kMaxSamples);
    settings.min_samples = count("min_samples", 1, settings.num_samples);
    settings.min_keypoints = config["min_keypoints"].cast<int>();
    settings.part_score_product = config["part_score"].cast<std::string>() == "product";
    settings.reassign = config["reassign"].cast<bool>();
    settings.allow_shared_keypoints = config["allow_shared_keypoints"].cast<bool>();
    settings.paf = config["encoding"].cast<std::string>() == "paf";
    settings.length_penalty = config["length_penalty"].cast<bool>();
  }
};

// The workspace of the calling thread, so that a steady state allocates nothing. A workspace that noisy maps made
// large is freed at the end of the call.
class ThreadWorkspace {
 public:
  ThreadWorkspace() = default;
  ~ThreadWorkspace() {
    constexpr size_t kMostLinks = 1 << 18;
    Workspace& used = **this;
    if (used.assign.poses.links.capacity() > kMostLinks || used.match.accepted.pair.capacity() > kMostLinks)
      used = Workspace{};
  }
  ThreadWorkspace(const ThreadWorkspace&) = delete;
  ThreadWorkspace& operator=(const ThreadWorkspace&) = delete;
  Workspace& operator*() const {
    static thread_local Workspace workspace;
    return workspace;
  }
  Workspace* operator->() const { return &**this; }
};

// The rows that write_people writes, and the scores of the people.
struct PeopleRows {
  std::vector<float> keypoints, scores;
  bool truncated = false;
};

inline py::tuple people_arrays(py::ssize_t people, int keypoints, const float* rows, const float* scores) {
  auto keypoint_array = new_array<float>({people, keypoints, 3});
  auto score_array = new_array<float>({people});
  std::copy_n(rows, keypoint_array.size(), keypoint_array.mutable_data());  // rows may be null if there are no people
  std::copy_n(scores, score_array.size(), score_array.mutable_data());
  return py::make_tuple(std::move(keypoint_array), std::move(score_array));
}

// One image's tuple (keypoints [N, J, 3], scores [N], truncated).
inline py::tuple people_tuple(const PeopleRows& rows, int keypoints) {
  py::tuple people = people_arrays(rows.scores.size(), keypoints, rows.keypoints.data(), rows.scores.data());
  return py::make_tuple(people[0], people[1], rows.truncated);
}

inline void take_people(const Workspace& workspace, float scale, float shift, PeopleRows& rows) {
  rows.keypoints.resize(workspace.people.peak.size() * 3);
  write_people(workspace.people, workspace.peaks, scale, shift, rows.keypoints.data());
  rows.scores = workspace.people.score;
  rows.truncated = workspace.peaks.truncated;
}

// Calls decode(image, workspace) for every image on at most `threads` threads, without the interpreter lock; returns
// one tuple per image.
template <typename Decode>
py::list decode_images(int64_t images, int keypoints, float scale, float shift, int threads, Decode&& decode) {
  std::vector<PeopleRows> results(images);
  {
    const GilRelease release;
    parallel_for(images, threads, [&](int64_t image) {
      const ThreadWorkspace workspace;
      decode(image, *workspace);
      take_people(*workspace, scale, shift, results[image]);
    });
  }
  py::list out(results.size());
  for (size_t image = 0; image < results.size(); ++image) out[image] = people_tuple(results[image], keypoints);
  return out;
}

}  // namespace simplepose
