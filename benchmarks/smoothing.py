"""Jitter against lag of `Smoother`, as in docs/tracking.md.

python benchmarks/smoothing.py            # synthetic clips; positions of the ground truth with jitter

Jitter is the root mean square of the second difference of the error, relative to that without a filter. The error is
the root mean square distance from the true positions. The lag is the delay of the true positions, between frames
linearly interpolated, that gives the least error.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from tracking import JITTER, KINDS, make_clip

from simplepose.inference.smoothing import SmoothConfig, Smoother
from simplepose.poses import Poses
from simplepose.skeleton.skeleton import COCO

DELAYS = np.arange(0, 0.3, 0.002)
"""Lags in seconds that are tried."""

CONFIGS = {
    "none": None,
    "default": SmoothConfig(),
    "fast": replace(SmoothConfig(), min_cutoff=4.0, beta=12.0),
    "slow": replace(SmoothConfig(), min_cutoff=0.8, beta=2.0),
    "fixed 1.5 Hz": replace(SmoothConfig(), beta=0.0),
}


def positions(seed: int, frames: int, size: int) -> tuple[NDArray[np.float64], float]:
    """``[F, P, 17, 2]`` true positions of the people of a clip, and its rate. NaN where a keypoint has no label."""
    config = replace(KINDS["crossing"], size=(size, size * 16 // 9))
    clip = make_clip(config, frames, seed, False)
    xy = np.full((frames, config.people, 17, 2), np.nan)
    for index, (truth, tracks) in enumerate(zip(clip.truth, clip.tracks, strict=True)):
        xy[index, tracks - 1] = np.where(truth[..., 2:] > 0, truth[..., :2], np.nan)
    return xy, clip.rate


def filtered(xy: NDArray[np.float64], rate: float, config: SmoothConfig | None) -> NDArray[np.float64]:
    """``[F, P, 17, 2]`` after the filter."""
    if config is None:
        return xy
    smoother, ids = Smoother(config), np.arange(1, xy.shape[1] + 1)
    out = np.empty_like(xy)
    for index, people in enumerate(xy):
        labeled = np.isfinite(people).all(-1, keepdims=True)
        keypoints = COCO.from_dataset(np.concatenate([np.nan_to_num(people), labeled], -1))
        poses = smoother.update(Poses(keypoints, np.ones(len(ids), np.float32), track_ids=ids), index / rate)
        out[index] = np.where(labeled, poses.keypoints[:, COCO.dataset_index, :2], np.nan)
    return out


def rms(values: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.nanmean(values**2)))


def lag(truth: NDArray[np.float64], out: NDArray[np.float64], rate: float) -> float:
    """The lag in seconds."""
    frames = np.arange(len(truth))
    late = max(DELAYS) * rate
    errors = []
    for delay in DELAYS * rate:
        time = frames[frames >= late] - delay
        low = np.floor(time).astype(int)
        part = (time - low)[:, None, None, None]
        before = truth[low] * (1 - part) + truth[np.minimum(low + 1, len(truth) - 1)] * part
        errors.append(rms(out[frames >= late] - before))
    return float(DELAYS[int(np.argmin(errors))])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=5)
    parser.add_argument("--frames", type=int, default=125)
    parser.add_argument("--size", type=int, default=256, help="height of the frames in pixels")
    options = parser.parse_args()
    clips = [positions(100 + seed, options.frames, options.size) for seed in range(options.clips)]
    noise = [np.random.default_rng([seed, 4]).normal(0, JITTER, xy.shape) for seed, (xy, _) in enumerate(clips)]
    print(f"{'filter':14}{'jitter':>9}{'error, px':>11}{'lag, ms':>9}")
    reference = 0.0
    for name, config in CONFIGS.items():
        jitter, error, delays = [], [], []
        for (xy, rate), disturbance in zip(clips, noise, strict=True):
            out = filtered(xy + disturbance, rate, config)
            jitter.append(rms(np.diff(out - xy, 2, axis=0)))
            error.append(rms(out - xy))
            delays.append(lag(xy, filtered(xy, rate, config), rate))
        reference = reference or float(np.mean(jitter))
        print(f"{name:14}{np.mean(jitter) / reference:9.2f}{np.mean(error):11.2f}{1000 * np.mean(delays):9.0f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
