// Python functions for the decoding ops. The public ops check arguments and call them.
#include "python/bindings_decode.h"

namespace simplepose {
namespace {

template <typename T>
py::array_t<T> to_array(const std::vector<T>& values) {
  return py::array_t<T>(values.size(), values.data());
}

py::array checked_maps(const py::object& maps, int least_channels) {
  const py::array array = checked_array<float>("maps", maps, {-1, -1, -1, -1});
  if (array.shape(1) < least_channels) throw py::value_error("maps: too few channels");
  return array;
}

// maps [B, L + J or more, H, W] -> a tuple (keypoints [N, J, 3], scores [N], truncated) for each image.
py::list decode_batch(const Decoder& decoder, const py::object& maps, float scale, float shift, int threads) {
  const Skeleton& skeleton = decoder.skeleton;
  const py::array array = checked_maps(maps, part_channels(skeleton, decoder.settings) + skeleton.keypoints);
  const auto batch = array.shape(0);
  const auto height = static_cast<int>(array.shape(2)), width = static_cast<int>(array.shape(3));
  const auto image_size = array.shape(1) * array.shape(2) * array.shape(3);
  const auto* data = data_of<float>(array);
  return decode_images(batch, skeleton.keypoints, scale, shift, threads, [&](int64_t image, Workspace& workspace) {
    decode(data + image * image_size, height, width, skeleton, decoder.settings, workspace);
  });
}

// Keypoint maps [B, J, H, W] and part maps [B, L, H', W'] -> what decode_batch gives. A peak at cell x of the keypoint
// maps lies at cell x * part_scale + part_shift of the part maps.
py::list decode_two_grids_batch(const Decoder& decoder, const py::object& keypoint_maps, const py::object& part_maps,
                                float part_scale, float part_shift, float scale, float shift, int threads) {
  const Skeleton& skeleton = decoder.skeleton;
  const py::array keypoints = checked_maps(keypoint_maps, skeleton.keypoints);
  const int channels = part_channels(skeleton, decoder.settings);
  const py::array parts = checked_array<float>("part_maps", part_maps, {keypoints.shape(0), channels, -1, -1});
  const auto height = static_cast<int>(keypoints.shape(2)), width = static_cast<int>(keypoints.shape(3));
  const auto rows = static_cast<int>(parts.shape(2)), columns = static_cast<int>(parts.shape(3));
  const auto keypoint_size = keypoints.shape(1) * keypoints.shape(2) * keypoints.shape(3);
  const auto part_size = parts.shape(1) * parts.shape(2) * parts.shape(3);
  const auto *keypoint_data = data_of<float>(keypoints), *part_data = data_of<float>(parts);
  return decode_images(keypoints.shape(0), skeleton.keypoints, scale, shift, threads,
                       [&](int64_t image, Workspace& workspace) {
                         const PartGrid grid{part_data + image * part_size, rows, columns, part_scale, part_shift};
                         decode_two_grids(keypoint_data + image * keypoint_size, height, width, grid, skeleton,
                                          decoder.settings, workspace);
                       });
}

// maps [B, J, H, W] -> (type, xy, score, truncated) for each image.
py::list find_peaks_batch(const Decoder& decoder, const py::object& maps, int threads) {
  const py::array array = checked_maps(maps, decoder.skeleton.keypoints);
  const auto height = static_cast<int>(array.shape(2)), width = static_cast<int>(array.shape(3));
  const auto image_size = array.shape(1) * array.shape(2) * array.shape(3);
  const auto* data = data_of<float>(array);
  std::vector<Peaks> results(array.shape(0));
  {
    const GilRelease release;
    parallel_for(array.shape(0), threads, [&](int64_t image) {
      const ThreadWorkspace workspace;
      find_peaks(data + image * image_size, decoder.skeleton.keypoints, height, width, decoder.settings, results[image],
                 workspace->find);
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
  const size_t count = types.shape(0);
  peaks.type.assign(data_of<int32_t>(types), data_of<int32_t>(types) + count);
  peaks.score.assign(data_of<float>(scores), data_of<float>(scores) + count);
  peaks.first.assign(decoder.skeleton.keypoints + 1, 0);
  for (size_t i = 0; i < count; ++i) {
    const int32_t kind = peaks.type[i];
    if (kind < (i ? peaks.type[i - 1] : 0) || kind >= decoder.skeleton.keypoints) {
      throw py::value_error("peaks.type: expected ascending keypoint types");
    }
    ++peaks.first[kind + 1];
    peaks.x.push_back(data_of<float>(positions)[2 * i]);
    peaks.y.push_back(data_of<float>(positions)[2 * i + 1]);
  }
  for (size_t kind = 1; kind < peaks.first.size(); ++kind) peaks.first[kind] += peaks.first[kind - 1];
  return peaks;
}

py::tuple candidate_arrays(const CandidateParts& candidates) {
  std::vector<int32_t> types;
  for (int32_t part = 0; part + 1 < static_cast<int32_t>(candidates.first.size()); ++part)
    types.insert(types.end(), candidates.first[part + 1] - candidates.first[part], part);
  return py::make_tuple(to_array(types), to_array(candidates.from), to_array(candidates.to),
                        to_array(candidates.response), to_array(candidates.score));
}

// maps [L, H, W] of one image ([2 L, H, W] of affinity fields) -> (type, from, to, response, score).
py::tuple match_parts_image(const Decoder& decoder, const py::object& maps, const py::object& type,
                            const py::object& xy, const py::object& score) {
  const int channels = part_channels(decoder.skeleton, decoder.settings);
  const py::array array = checked_array<float>("maps", maps, {channels, -1, -1});
  const Peaks peaks = read_peaks(decoder, type, xy, score);
  CandidateParts candidates;
  {
    const GilRelease release;
    const ThreadWorkspace workspace;
    match_parts(data_of<float>(array), static_cast<int>(array.shape(1)), static_cast<int>(array.shape(2)), peaks,
                decoder.skeleton, decoder.settings, candidates, workspace->match);
  }
  return candidate_arrays(candidates);
}

// The pairs that a GPU accepted, [M, 2] pair and bits of the response, by part type -> what match_parts_image gives.
py::tuple score_pairs(const Decoder& decoder, const py::object& type, const py::object& xy, const py::object& score,
                      const py::list& pairs) {
  const Skeleton& skeleton = decoder.skeleton;
  const Peaks peaks = read_peaks(decoder, type, xy, score);
  CandidateParts candidates;
  candidates.clear();
  const ThreadWorkspace workspace;
  AcceptedPairs& accepted = workspace->match.accepted;
  if (pairs.size() != skeleton.from.size()) throw py::value_error("pairs: expected one array a part type");
  for (int part = 0; part < skeleton.parts(); ++part) {
    const py::array array = checked_array<int32_t>("pairs", pairs[part], {-1, 2});
    const auto* data = data_of<int32_t>(array);
    const PartEnds ends = part_ends(skeleton, peaks, part);
    accepted.clear();
    for (py::ssize_t i = 0; i < array.shape(0); ++i) {
      if (data[2 * i] < 0 || data[2 * i] >= int64_t{ends.from_count()} * ends.to_count())
        throw py::value_error("pairs: no such pair");
      accepted.pair.push_back(data[2 * i]), accepted.response.push_back(bits_float(data[2 * i + 1]));
    }
    append_by_score(peaks, ends, decoder.settings.part_score_product, candidates, workspace->match);
  }
  return candidate_arrays(candidates);
}

// Peaks and candidates of one image -> (keypoints [N, J, 3], scores [N]).
py::tuple assign_keypoints_image(const Decoder& decoder, const py::object& type, const py::object& xy,
                                 const py::object& score, const py::object& from_peak, const py::object& to_peak,
                                 const py::object& part_score, float scale, float shift) {
  const Peaks peaks = read_peaks(decoder, type, xy, score);
  const py::array from = checked_array<int32_t>("parts.from_peak", from_peak, {-1});
  const py::array to = checked_array<int32_t>("parts.to_peak", to_peak, {from.shape(0)});
  const py::array weight = checked_array<float>("parts.score", part_score, {from.shape(0)});
  const size_t count = from.shape(0);
  CandidateParts candidates;
  candidates.from.assign(data_of<int32_t>(from), data_of<int32_t>(from) + count);
  candidates.to.assign(data_of<int32_t>(to), data_of<int32_t>(to) + count);
  candidates.score.assign(data_of<float>(weight), data_of<float>(weight) + count);
  for (size_t i = 0; i < count; ++i) {
    if (candidates.from[i] < 0 || candidates.from[i] >= peaks.size() || candidates.to[i] < 0 ||
        candidates.to[i] >= peaks.size()) {
      throw py::value_error("parts: a peak index is out of range");
    }
  }
  const ThreadWorkspace workspace;
  std::vector<float> rows;
  {
    const GilRelease release;
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
      .def("decode_two_grids", &decode_two_grids_batch, py::arg("keypoint_maps"), py::arg("part_maps"),
           py::arg("part_scale"), py::arg("part_shift"), py::arg("scale"), py::arg("shift"), py::arg("threads"))
      .def("find_peaks", &find_peaks_batch, py::arg("maps"), py::arg("threads"))
      .def("match_parts", &match_parts_image, py::arg("maps"), py::arg("type"), py::arg("xy"), py::arg("score"))
      .def("score_pairs", &score_pairs, py::arg("type"), py::arg("xy"), py::arg("score"), py::arg("pairs"))
      .def("assign_keypoints", &assign_keypoints_image, py::arg("type"), py::arg("xy"), py::arg("score"),
           py::arg("from_peak"), py::arg("to_peak"), py::arg("part_score"), py::arg("scale"), py::arg("shift"));
}

}  // namespace simplepose
