// Rule 8 on the CPU. Few poses are stretched, so the test that a pose is not must be cheap: it does not sort.
#include "assign_keypoints/split_stretched.h"

#include <algorithm>
#include <cmath>

namespace simplepose {
namespace {

class Splitting {
 public:
  Splitting(PoseTable& poses, const DecodeSettings& settings, SplitScratch& scratch)
      : poses_(poses), ratio_(settings.max_part_ratio), min_cut_length_(settings.min_cut_length), s_(scratch) {}

  void run() {
    const int32_t before = poses_.count;
    for (int32_t pose = 0; pose < before; ++pose) {
      collect_parts(poses_.row(pose));
      if (stretched()) split(pose);
    }
  }

 private:
  void collect_parts(const int32_t* row) {
    const Skeleton& skeleton = poses_.skeleton;
    const Peaks& peaks = poses_.peaks;
    s_.parts.clear(), s_.lengths.clear();
    for (int part = 0; part < skeleton.parts(); ++part) {
      const int32_t from = skeleton.from[part], to = skeleton.to[part];
      const int32_t a = row[from], b = row[to];
      if (a < 0 || b < 0) continue;
      const float dx = peaks.x[a] - peaks.x[b], dy = peaks.y[a] - peaks.y[b];
      s_.parts.push_back({from, to});
      s_.lengths.push_back(std::sqrt(dx * dx + dy * dy));
    }
  }

  size_t median_index() const { return (s_.lengths.size() - 1) / 2; }

  // ratio * median < longest, without the median: it holds if it does so for all parts up to the median, since the
  // rounded product does not decrease with the length.
  bool stretched() const {
    if (s_.lengths.empty()) return false;
    const float longest = *std::max_element(s_.lengths.begin(), s_.lengths.end());
    if (longest <= min_cut_length_) return false;
    size_t shorter = 0;
    for (const float length : s_.lengths) shorter += ratio_ * length < longest;
    return shorter > median_index();
  }

  void split(int32_t pose) {
    const int types = poses_.skeleton.keypoints;
    s_.sorted = s_.lengths;
    const auto median = s_.sorted.begin() + static_cast<std::ptrdiff_t>(median_index());
    std::nth_element(s_.sorted.begin(), median, s_.sorted.end());
    const float limit = std::max(ratio_ * *median, min_cut_length_);
    s_.group.resize(types);
    for (int type = 0; type < types; ++type) s_.group[type] = type;
    for (size_t i = 0; i < s_.parts.size(); ++i) {
      if (s_.lengths[i] <= limit) connect(s_.group[s_.parts[i].from], s_.group[s_.parts[i].to]);
    }
    s_.target.assign(types, -1);
    bool first = true;
    for (int type = 0; type < types; ++type) {
      const int32_t peak = poses_.row(pose)[type];
      if (peak < 0) continue;
      int32_t& target = s_.target[s_.group[type]];
      if (target < 0) target = first ? pose : poses_.add();
      first = false;
      if (target == pose) continue;
      poses_.row(pose)[type] = -1;
      poses_.row(target)[type] = peak;
      poses_.pose_of(peak) = target;
    }
  }

  // Gives two groups one number, the smaller one.
  void connect(int32_t a, int32_t b) {
    if (a != b) std::replace(s_.group.begin(), s_.group.end(), std::max(a, b), std::min(a, b));
  }

  PoseTable& poses_;
  float ratio_, min_cut_length_;
  SplitScratch& s_;
};

}  // namespace

void split_stretched(PoseTable& poses, const DecodeSettings& settings, SplitScratch& scratch) {
  Splitting(poses, settings, scratch).run();
}

}  // namespace simplepose
