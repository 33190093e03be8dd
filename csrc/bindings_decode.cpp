// Python functions for the decoding ops; simplepose/ops.py checks arguments and calls them.
#include <algorithm>

#include "bindings.h"
#include "decode.h"
#include "parallel.h"

namespace simplepose {
namespace {

// A skeleton and settings, compiled once and used by every call.
struct Decoder {
  Skeleton skeleton;
  DecodeSettings settings;

  Decoder(int keypoints, const py::object& part_index, const py::dict& config) {
    const py::array parts = checked_array<int32_t>("part_index", part_index, {-1, 2});
    skeleton.keypoints = keypoints;
    skeleton.part_between.assign(static_cast<size_t>(keypoints) * static_cast<size_t>(keypoints), -1);
    for (py::ssize_t i = 0; i < parts.shape(0); ++i) {
      const int32_t from = data_of<int32_t>(parts)[2 * i], to = data_of<int32_t>(parts)[2 * i + 1];
      if (from < 0 || to < 0 || from >= keypoints || to >= keypoints) throw py::index_error("part_index");
      skeleton.from.push_back(from), skeleton.to.push_back(to);
      skeleton.part_between[static_cast<size_t>(from * keypoints + to)] = static_cast<int16_t>(i);
      skeleton.part_between[static_cast<size_t>(to * keypoints + from)] = static_cast<int16_t>(i);
    }
    const auto number = [&config](const char* name) { return static_cast<float>(config[name].cast<double>()); };
    const auto count = [&config](const char* name) { return config[name].cast<int>(); };
    settings = {number("peak_threshold"),
                number("part_threshold"),
                number("single_threshold"),
                number("reach"),
                number("minimum_size"),
                count("max_peaks"),
                count("samples"),
                count("samples_needed"),
                count("min_keypoints"),
                config["rank"].cast<std::string>() == "product",
                config["recheck"].cast<bool>(),
                config["share_taken"].cast<bool>()};
  }
};

// The calling thread's workspace, so that a steady state allocates nothing. One that a crowded image blew up is emptied
// when the call is over.
class Borrowed {
 public:
  Borrowed() = default;
  ~Borrowed() {
    constexpr size_t kMostLinks = 1 << 18;
    Workspace& used = **this;
    if (used.assign.links.capacity() > kMostLinks || used.match.pair.capacity() > kMostLinks) used = Workspace{};
  }
  Borrowed(const Borrowed&) = delete;
  Borrowed& operator=(const Borrowed&) = delete;
  Workspace& operator*() const {
    static thread_local Workspace workspace;
    return workspace;
  }
  Workspace* operator->() const { return &**this; }
};

// What write_people writes, and the scores of the people.
struct PeopleRows {
  std::vector<float> keypoints, scores;
  bool truncated = false;
};

template <typename T>
py::array_t<T> to_array(const std::vector<T>& values) {
  return py::array_t<T>(static_cast<py::ssize_t>(values.size()), values.data());
}

py::tuple people_arrays(py::ssize_t people, int keypoints, const float* rows, const float* scores) {
  auto keypoint_array = new_array<float>({people, keypoints, 3});
  auto score_array = new_array<float>({people});
  std::copy_n(rows, keypoint_array.size(), keypoint_array.mutable_data());  // rows may be null where there is nobody
  std::copy_n(scores, score_array.size(), score_array.mutable_data());
  return py::make_tuple(std::move(keypoint_array), std::move(score_array));
}

py::array checked_maps(const py::object& maps, int least_channels) {
  const py::array array = checked_array<float>("maps", maps, {-1, -1, -1, -1});
  if (array.shape(1) < least_channels) throw py::value_error("maps: too few channels");
  return array;
}

// maps [B, L + J or more, H, W] -> a tuple (keypoints [N, J, 3], scores [N], truncated) for each image.
py::list decode_batch(const Decoder& decoder, const py::object& maps, float scale, float shift, int threads) {
  const Skeleton& skeleton = decoder.skeleton;
  const py::array array = checked_maps(maps, skeleton.parts() + skeleton.keypoints);
  const auto batch = array.shape(0);
  const auto height = static_cast<int>(array.shape(2)), width = static_cast<int>(array.shape(3));
  const auto image_size = array.shape(1) * array.shape(2) * array.shape(3);
  const auto* data = data_of<float>(array);
  std::vector<PeopleRows> results(static_cast<size_t>(batch));
  {
    const py::gil_scoped_release release;
    parallel_for(batch, threads, [&](int64_t image) {
      const Borrowed workspace;
      decode(data + image * image_size, height, width, skeleton, decoder.settings, *workspace);
      PeopleRows& rows = results[static_cast<size_t>(image)];
      rows.keypoints.resize(workspace->people.peak.size() * 3);
      write_people(workspace->people, workspace->peaks, scale, shift, rows.keypoints.data());
      rows.scores = workspace->people.score;
      rows.truncated = workspace->peaks.truncated;
    });
  }
  py::list out(static_cast<size_t>(batch));
  for (size_t image = 0; image < results.size(); ++image) {
    const PeopleRows& rows = results[image];
    py::tuple people = people_arrays(static_cast<py::ssize_t>(rows.scores.size()), skeleton.keypoints,
                                     rows.keypoints.data(), rows.scores.data());
    out[image] = py::make_tuple(people[0], people[1], rows.truncated);
  }
  return out;
}

// maps [B, J, H, W] -> (type, xy, score, truncated) for each image.
py::list find_peaks_batch(const Decoder& decoder, const py::object& maps, int threads) {
  const py::array array = checked_maps(maps, decoder.skeleton.keypoints);
  const auto height = static_cast<int>(array.shape(2)), width = static_cast<int>(array.shape(3));
  const auto image_size = array.shape(1) * array.shape(2) * array.shape(3);
  const auto* data = data_of<float>(array);
  std::vector<Peaks> results(static_cast<size_t>(array.shape(0)));
  {
    const py::gil_scoped_release release;
    parallel_for(array.shape(0), threads, [&](int64_t image) {
      const Borrowed workspace;
      find_peaks(data + image * image_size, decoder.skeleton.keypoints, height, width, decoder.settings,
                 results[static_cast<size_t>(image)], workspace->peak_keys);
    });
  }
  py::list out;
  for (const Peaks& peaks : results) {
    auto xy = new_array<float>({peaks.size(), 2});
    for (size_t i = 0; i < peaks.x.size(); ++i) {
      xy.mutable_data()[2 * i] = peaks.x[i];
      xy.mutable_data()[2 * i + 1] = peaks.y[i];
    }
    out.append(py::make_tuple(to_array(peaks.type), xy, to_array(peaks.score), peaks.truncated));
  }
  return out;
}

// Peaks from Python arrays; types must ascend and lie in range.
Peaks read_peaks(const Decoder& decoder, const py::object& type, const py::object& xy, const py::object& score) {
  const py::array types = checked_array<int32_t>("peaks.type", type, {-1});
  const py::array positions = checked_array<float>("peaks.xy", xy, {types.shape(0), 2});
  const py::array scores = checked_array<float>("peaks.score", score, {types.shape(0)});
  Peaks peaks;
  const auto count = static_cast<size_t>(types.shape(0));
  peaks.type.assign(data_of<int32_t>(types), data_of<int32_t>(types) + count);
  peaks.score.assign(data_of<float>(scores), data_of<float>(scores) + count);
  peaks.first.assign(static_cast<size_t>(decoder.skeleton.keypoints) + 1, 0);
  for (size_t i = 0; i < count; ++i) {
    const int32_t kind = peaks.type[i];
    if (kind < (i ? peaks.type[i - 1] : 0) || kind >= decoder.skeleton.keypoints) {
      throw py::value_error("peaks.type: expected ascending keypoint types");
    }
    ++peaks.first[static_cast<size_t>(kind) + 1];
    peaks.x.push_back(data_of<float>(positions)[2 * i]);
    peaks.y.push_back(data_of<float>(positions)[2 * i + 1]);
  }
  for (size_t kind = 1; kind < peaks.first.size(); ++kind) peaks.first[kind] += peaks.first[kind - 1];
  return peaks;
}

// maps [L, H, W] of one image -> (type, from, to, response, evidence).
py::tuple match_parts_image(const Decoder& decoder, const py::object& maps, const py::object& type,
                            const py::object& xy, const py::object& score) {
  const py::array array = checked_array<float>("maps", maps, {decoder.skeleton.parts(), -1, -1});
  const Peaks peaks = read_peaks(decoder, type, xy, score);
  CandidateParts candidates;
  {
    const py::gil_scoped_release release;
    const Borrowed workspace;
    match_parts(data_of<float>(array), static_cast<int>(array.shape(1)), static_cast<int>(array.shape(2)), peaks,
                decoder.skeleton, decoder.settings, candidates, workspace->match);
  }
  std::vector<int32_t> types;
  for (int part = 0; part < decoder.skeleton.parts(); ++part) {
    const auto index = static_cast<size_t>(part);
    types.insert(types.end(), static_cast<size_t>(candidates.first[index + 1] - candidates.first[index]), part);
  }
  return py::make_tuple(to_array(types), to_array(candidates.from), to_array(candidates.to),
                        to_array(candidates.response), to_array(candidates.evidence));
}

// Peaks and candidates of one image -> (keypoints [N, J, 3], scores [N]).
py::tuple assign_keypoints_image(const Decoder& decoder, const py::object& type, const py::object& xy,
                                 const py::object& score, const py::object& from_peak, const py::object& to_peak,
                                 const py::object& evidence, float scale, float shift) {
  const Peaks peaks = read_peaks(decoder, type, xy, score);
  const py::array from = checked_array<int32_t>("parts.from_peak", from_peak, {-1});
  const py::array to = checked_array<int32_t>("parts.to_peak", to_peak, {from.shape(0)});
  const py::array weight = checked_array<float>("parts.evidence", evidence, {from.shape(0)});
  const auto count = static_cast<size_t>(from.shape(0));
  CandidateParts candidates;
  candidates.from.assign(data_of<int32_t>(from), data_of<int32_t>(from) + count);
  candidates.to.assign(data_of<int32_t>(to), data_of<int32_t>(to) + count);
  candidates.evidence.assign(data_of<float>(weight), data_of<float>(weight) + count);
  for (size_t i = 0; i < count; ++i) {
    if (candidates.from[i] < 0 || candidates.from[i] >= peaks.size() || candidates.to[i] < 0 ||
        candidates.to[i] >= peaks.size()) {
      throw py::value_error("parts: a peak index is out of range");
    }
  }
  const Borrowed workspace;
  std::vector<float> rows;
  {
    const py::gil_scoped_release release;
    assign_keypoints(peaks, candidates, decoder.skeleton, decoder.settings, workspace->people, workspace->assign);
    rows.resize(workspace->people.peak.size() * 3);
    write_people(workspace->people, peaks, scale, shift, rows.data());
  }
  return people_arrays(workspace->people.size(), decoder.skeleton.keypoints, rows.data(),
                       workspace->people.score.data());
}

}  // namespace

void bind_decode(py::module_& module) {
  py::class_<Decoder>(module, "Decoder")
      .def(py::init<int, py::object, py::dict>(), py::arg("keypoints"), py::arg("part_index"), py::arg("config"))
      .def("decode", &decode_batch, py::arg("maps"), py::arg("scale"), py::arg("shift"), py::arg("threads"))
      .def("find_peaks", &find_peaks_batch, py::arg("maps"), py::arg("threads"))
      .def("match_parts", &match_parts_image, py::arg("maps"), py::arg("type"), py::arg("xy"), py::arg("score"))
      .def("assign_keypoints", &assign_keypoints_image, py::arg("type"), py::arg("xy"), py::arg("score"),
           py::arg("from_peak"), py::arg("to_peak"), py::arg("evidence"), py::arg("scale"), py::arg("shift"));
}

}  // namespace simplepose
