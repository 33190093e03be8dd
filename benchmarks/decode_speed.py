"""Time of decode as a multiple of a copy of the 18 keypoint maps, in one interleaved run on one thread.

python benchmarks/decode_speed.py [--annotations COCO.json] [--out benchmarks/results/decode_cpu.json]
python benchmarks/decode_speed.py --baseline OTHER_CHECKOUT     # ratios to the decode of another build, same poses
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from decode_pairs import paired_ratios
from numpy.typing import NDArray
from scenes import crowd_maps, scene_maps, separated_maps
from timing import parse_arguments, report, seconds

import simplepose as sp
from simplepose.data.annotations import read_annotations
from simplepose.io.atomic import write_json
from simplepose.ops.native import module as native
from simplepose.skeleton.channels import Encoding

PEOPLE = (1, 5, 10, 20, 30)
SCENES = 12
ENCODINGS: tuple[Encoding, ...] = ("parts", "paf")
Maps = NDArray[np.float32]


def copy_ratios(sets: dict[str, Sequence[Maps]], rounds: int) -> dict[str, dict[str, Any]]:
    """Median times of decode and of the copy, and their ratio; scenes and sets take turns."""
    target = np.empty_like(next(iter(sets.values()))[0][30:])
    copies: dict[str, list[float]] = {name: [] for name in sets}
    decodes: dict[str, list[float]] = {name: [] for name in sets}
    for _ in range(rounds):
        for name, scenes in sets.items():
            half = len(scenes) // 2
            for i in range(len(scenes)):
                source = scenes[(i + half) % len(scenes)]  # not the scene that decode has just read into the cache
                copies[name].append(seconds(lambda source=source: np.copyto(target, source[30:])))
                decodes[name].append(seconds(lambda maps=scenes[i]: sp.decode(maps, threads=1)))
    rows = {}
    for name in sets:
        copy, decode = np.median(copies[name]), np.median(decodes[name])
        rows[name] = {
            "ratio": decode / copy,
            "ratio_p95": np.percentile(decodes[name], 95) / copy,
            "copy_us": 1e6 * copy,
            "decode_us": 1e6 * decode,
            "images_per_second": 1 / decode,
        }
    return rows


def stage_microseconds(scenes: Sequence[Maps], rounds: int) -> dict[str, float]:
    """Median microseconds of the stages of decode, each called alone, and of what Python adds to the native call."""
    decoder = native.decoder(sp.COCO, sp.DecodeConfig())
    parts = sp.COCO.num_parts
    times: dict[str, list[float]] = {name: [] for name in ("peaks", "pairs", "grouping", "native", "all")}

    def timed(name: str, call: Callable[[], Any]) -> Any:
        begin = time.perf_counter()
        result = call()
        times[name].append(time.perf_counter() - begin)
        return result

    half = len(scenes) // 2
    for i in list(range(len(scenes))) * rounds:
        maps, other = scenes[i], scenes[(i + half) % len(scenes)]
        type_, xy, score, _ = timed("peaks", lambda maps=maps: decoder.find_peaks(maps[None, parts:], 1)[0])
        found = (type_, xy, score)
        pairs = timed("pairs", lambda maps=maps, found=found: decoder.match_parts(maps[:parts], *found))
        timed("grouping", lambda found=found, p=pairs: decoder.assign_keypoints(*found, p[1], p[2], p[4], 4.0, 1.5))
        timed("native", lambda other=other: decoder.decode(other[None], 4.0, 1.5, 1))
        timed("all", lambda maps=maps: sp.decode(maps, threads=1))
    median = {name: 1e6 * float(np.median(values)) for name, values in times.items()}
    return {
        **{name: median[name] for name in ("peaks", "pairs", "grouping")},
        "python": median["all"] - median["native"],
    }


def reference_ratio(scenes: Sequence[Maps]) -> float:
    """The time of the reference implementation as a multiple of the native one."""
    slow = [seconds(lambda maps=maps: sp.decode(maps, backend="reference")) for maps in scenes[:3]]
    fast = [seconds(lambda maps=maps: sp.decode(maps, threads=1)) for maps in scenes]
    return float(np.median(slow) / np.median(fast))


def thread_ratio(rounds: int) -> float:
    """The speed-up of two threads over one, for a batch of 32 images of 10 people."""
    batch = np.stack([scene_maps(10, seed) for seed in range(32)])
    times: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(rounds):
        for threads, values in times.items():
            values.append(seconds(lambda threads=threads: sp.decode(batch, threads=threads)))
    return float(np.median(times[1]) / np.median(times[2]))


def encoding_ratio(rounds: int) -> float:
    """The time of decode for part affinity fields of 10 people as a multiple of that for body parts."""
    configs = [sp.DecodeConfig(encoding=encoding) for encoding in ENCODINGS]
    sets = [[scene_maps(10, seed, encoding) for seed in range(SCENES)] for encoding in ENCODINGS]
    times: list[list[float]] = [[], []]
    for _ in range(rounds):
        for i in range(SCENES):
            for scenes, config, values in zip(sets, configs, times, strict=True):
                call = lambda maps=scenes[i], config=config: sp.decode(maps, config=config, threads=1)  # noqa: E731
                values.append(seconds(call))
    return float(np.median(times[1]) / np.median(times[0]))


def noise_maps() -> dict[str, Maps]:
    """Maps of pure noise, the worst case."""
    rng = np.random.default_rng(0)
    kinds = {"uniform": rng.random((48, 128, 128)), "normal": rng.standard_normal((48, 128, 128))}
    return {name: noise.astype(np.float32) for name, noise in kinds.items()}


def noise_milliseconds() -> dict[str, float]:
    """Median milliseconds of decode for `noise_maps`."""
    out = {}
    for name, maps in noise_maps().items():
        assert sp.decode(maps)[0].truncated
        out[name] = 1000 * float(np.median([seconds(lambda maps=maps: sp.decode(maps)) for _ in range(5)]))
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--annotations", help="COCO keypoint annotations, for crowds of annotated people")
    parser.add_argument("--out", type=Path, help="write the times as JSON")
    parser.add_argument("--baseline", type=Path, help="a checkout to compare with; measures only the ratios to it")
    parser.add_argument("--rounds", type=int, default=40)
    options = parse_arguments(parser, ["out"], ["annotations"])
    sets: dict[str, Sequence[Maps]] = {f"{n} people": [scene_maps(n, seed) for seed in range(SCENES)] for n in PEOPLE}
    sets |= {f"{n} separated people": [separated_maps(n, seed) for seed in range(SCENES)] for n in PEOPLE}
    if options.annotations:
        annotations = read_annotations(options.annotations)
        for noisy in (False, True):
            sets[f"crowds, {'noisy' if noisy else 'clean'}"] = crowd_maps(annotations, 24, noisy)
    if options.baseline:
        sets |= {f"noise, {name}": [maps] for name, maps in noise_maps().items()}
        pairs = paired_ratios(sets, options.baseline, options.rounds)
        for name, row in pairs.items():
            print(f"{name:20s} {row['ratio']:.2f} x ({row['decode_us']:.0f} us, baseline {row['baseline_us']:.0f} us)")
        if options.out:
            write_json(options.out, report(baseline=pairs))
        return
    rows = copy_ratios(sets, options.rounds)
    for name, row in rows.items():
        row["reference_ratio"] = reference_ratio(sets[name])
        row["stages_us"] = stage_microseconds(sets[name], options.rounds)
        print(
            f"{name:20s} {row['ratio']:6.2f} x copy (p95 {row['ratio_p95']:.2f}), "
            f"{row['reference_ratio']:6.0f} x faster than the reference"
        )
    threads, fields, noise = thread_ratio(options.rounds), encoding_ratio(options.rounds), noise_milliseconds()
    print(f"batch of 32 on 2 threads: {threads:.2f} x one thread")
    print(f"part affinity fields of 10 people: {fields:.2f} x body parts")
    print("pure noise: " + ", ".join(f"{name} {ms:.0f} ms" for name, ms in noise.items()))
    if options.out:
        write_json(options.out, report(decode=rows, two_threads=threads, affinity_fields=fields, noise_ms=noise))


if __name__ == "__main__":
    main()
