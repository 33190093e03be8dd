"""A league table of groupers: the same peaks and candidate parts into each, AP and time out.

python benchmarks/peers.py --annotations COCO.json --photos DATA --out benchmarks/results/peers.json
python benchmarks/peers.py --peer mine.py:group                # a grouper of your own, see peer_groupers.py

Groupers whose package is not installed are left out. AP is that of oracle maps (clean and noisy), of learned maps
(--learned-maps) and of the maps of a network for photos (--photos), on the redundant parts of the skeleton and on a
spanning tree. Times are processor times of one thread, of people at random places, and interleaved: every grouper
runs on a scene before the next scene.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from judge_network import Split
from numpy.typing import NDArray
from peer_groupers import FIELD_PEERS, PEERS, Grouper, People, Scene
from readme_table import league_table
from scenes import people, scene_maps
from timing import parse_arguments, report
from tqdm import tqdm

import simplepose as sp
from simplepose.data.annotations import Annotations, read_annotations
from simplepose.evaluation import oracle
from simplepose.evaluation.coco import Result, evaluate_keypoints
from simplepose.inference.predictor import Predictor
from simplepose.io.atomic import write_json
from simplepose.network.checkpoint import load_checkpoint

PEOPLE = (1, 5, 10, 20, 30)
SCENES = 6
STRIDE = 4
SKELETONS = {"redundant": sp.COCO, "tree": sp.COCO.spanning_tree()}
OURS = "simplepose"

Move = Callable[[NDArray[np.float32]], NDArray[np.float32]]


class Source(NamedTuple):
    """Maps with ground truth: for each image its maps and the way from their pixels to those of the image."""

    annotations: Annotations
    ids: list[int]
    maps: Callable[[int], tuple[NDArray[np.float32], Move]]
    config: sp.DecodeConfig


def installed(
    peers: dict[str, tuple[Grouper, str]], plugins: Iterable[str] = ()
) -> tuple[dict[str, Grouper], dict[str, str]]:
    """The groupers that can run, and the reasons why the others cannot."""
    found: dict[str, Grouper] = {}
    missing: dict[str, str] = {}
    for name, (grouper, module) in peers.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                importlib.import_module(module)
        except Exception as error:  # whatever a package raises that is installed in part
            missing[name] = f"{type(error).__name__}: {error}".splitlines()[0]
            continue
        found[name] = grouper
    for plugin in plugins:
        path, _, name = plugin.rpartition(":")
        spec = importlib.util.spec_from_file_location(Path(path).stem, path)
        if spec is None or spec.loader is None:
            raise SystemExit(f"--peer: expected FILE.py:function, got {plugin}")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found[name] = getattr(module, name)
    return found, missing


def sub_skeleton(maps: NDArray[np.float32], skeleton: sp.Skeleton) -> NDArray[np.float32]:
    """The maps of the COCO skeleton with those parts only that ``skeleton`` has."""
    parts = [sp.COCO.parts.index(part) for part in skeleton.parts]
    return np.concatenate([maps[parts], maps[sp.COCO.num_parts : sp.COCO.num_parts + sp.COCO.num_keypoints]])


def poses_of(found: People, skeleton: sp.Skeleton) -> sp.Poses:
    """People as Poses. The score of every grouper's person is the sum of its peak scores."""
    scores = found[..., 2].sum(1)
    order = np.argsort(-scores, kind="stable")
    return sp.Poses(found[order].astype(np.float32), scores[order].astype(np.float32), skeleton)


def average_precision(
    source: Source, skeleton: sp.Skeleton, groupers: dict[str, Grouper], name: str
) -> dict[str, float]:
    """The AP of every grouper; the maps of an image are made once."""
    results: dict[str, list[Result]] = {grouper: [] for grouper in groupers}
    for image_id in tqdm(source.ids, name, unit="image", disable=None):
        maps, to_image = source.maps(image_id)
        scene = Scene.of(sub_skeleton(maps, skeleton), skeleton, source.config, STRIDE)
        for grouper, prepare in groupers.items():
            found = prepare(scene)()
            found[..., :2] = to_image(found[..., :2])
            results[grouper] += poses_of(found, skeleton).to_coco(image_id, source.annotations.category)
    return {
        grouper: evaluate_keypoints(source.annotations, found, source.ids)["AP"] for grouper, found in results.items()
    }


def part_scenes(skeleton: sp.Skeleton, count: int) -> list[Scene]:
    """Scenes of ``count`` people with the maps of body parts."""
    maps = [sub_skeleton(scene_maps(count, seed), skeleton) for seed in range(SCENES)]
    return [Scene.of(image, skeleton, sp.DecodeConfig(), STRIDE) for image in maps]


def field_scenes(skeleton: sp.Skeleton, count: int) -> list[Scene]:
    """The same scenes with part affinity fields."""
    config = sp.TargetConfig(encoding="paf")
    maps = [sp.render_targets(people(count, seed), (512, 512), skeleton, config) for seed in range(SCENES)]
    return [Scene.of(image, skeleton, sp.DecodeConfig(encoding="paf"), STRIDE) for image in maps]


def milliseconds(groupers: dict[str, Grouper], scenes: Sequence[Scene], rounds: int) -> dict[str, float]:
    """The median processor time of every grouper on the scenes, interleaved."""
    times: dict[str, list[float]] = {name: [] for name in groupers}
    for scene in list(scenes) * rounds:
        for name, prepare in groupers.items():
            run = prepare(scene)
            begin = time.thread_time()
            run()
            times[name].append(time.thread_time() - begin)
    return {name: 1e3 * float(np.median(values)) for name, values in times.items()}


def sources(options: argparse.Namespace) -> Iterator[tuple[str, Source]]:
    """The sources of maps that the options name."""

    def plain(maps: oracle.MapSource) -> Callable[[int], tuple[NDArray[np.float32], Move]]:
        return lambda image_id: (maps(image_id), lambda xy: xy)

    if options.annotations:
        annotations = read_annotations(options.annotations)
        ids = annotations.with_keypoints()[: options.images]
        for name in ("clean", "noisy"):
            maps = oracle.annotation_maps(annotations, name == "noisy")
            yield name, Source(annotations, ids, plain(maps), sp.DecodeConfig())
    if options.learned_maps:
        ids, maps = oracle.stored_maps(options.learned_maps)
        annotations = read_annotations(options.learned_annotations)
        yield "learned", Source(annotations, ids[: options.images], plain(maps), sp.DecodeConfig())
    if options.photos:
        split, predictor = Split.open(options.photos), Predictor.from_checkpoint(options.checkpoint)
        use = load_checkpoint(options.checkpoint).use
        kept: dict[int, tuple[NDArray[np.float32], Move]] = {}

        def photo(image_id: int) -> tuple[NDArray[np.float32], Move]:
            if image_id not in kept:
                heatmaps = predictor.heatmaps(split.path(image_id))
                maps = heatmaps.maps[: sp.COCO.num_parts + sp.COCO.num_keypoints].numpy().astype(np.float16)
                kept[image_id] = maps, heatmaps.frame.to_image
            maps, move = kept[image_id]
            return maps.astype(np.float32), move

        config = sp.DecodeConfig(**{**use.get("decode", {}), **use.get("evaluation", {})})
        yield (
            options.checkpoint,
            Source(split.annotations, list(split.annotations.images)[: options.images], photo, config),
        )


def version(name: str) -> str:
    """The version of the package of a grouper."""
    try:
        return sp.__version__ if name == OURS else metadata.version(name)
    except metadata.PackageNotFoundError:
        return "unknown"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--annotations", help="COCO keypoint annotations, for oracle maps")
    parser.add_argument("--learned-maps", help="NPZ file with maps and image_ids")
    parser.add_argument("--learned-annotations", help="the annotations of the learned maps")
    parser.add_argument("--photos", type=Path, help="data folder of photos with annotations")
    parser.add_argument("--checkpoint", default="photo", help="the network of --photos (default: %(default)s)")
    parser.add_argument("--peer", action="append", default=[], metavar="FILE.py:FUNCTION", help="a grouper of your own")
    parser.add_argument("--rounds", type=int, default=5, help="calls of each grouper per scene (default: %(default)s)")
    parser.add_argument("--images", type=int, help="evaluate this many images of each source; default: all")
    parser.add_argument("--out", type=Path, help="write the table as JSON")
    options = parse_arguments(parser, ["out"], ["annotations", "learned_maps", "learned_annotations"])
    torch.set_num_threads(1)
    groupers, missing = installed(PEERS, options.peer)
    field_groupers, _ = installed(FIELD_PEERS)
    for name, reason in missing.items():
        print(f"left out {name}: {reason}")
    rows: dict[str, dict[str, Any]] = {f"{name}, {kind}": {} for kind in SKELETONS for name in groupers}
    images: dict[str, int] = {}
    fields: dict[str, dict[str, Any]] = {}
    for source, maps in sources(options):
        images[source] = len(maps.ids)
        for kind, skeleton in SKELETONS.items():
            for name, ap in average_precision(maps, skeleton, groupers, f"{source}, {kind}").items():
                rows[f"{name}, {kind}"][source] = ap
    for count in PEOPLE:
        for kind, skeleton in SKELETONS.items():
            for name, value in milliseconds(groupers, part_scenes(skeleton, count), options.rounds).items():
                rows[f"{name}, {kind}"][f"{count} people, ms"] = value
            for name, value in milliseconds(field_groupers, field_scenes(skeleton, count), options.rounds).items():
                fields.setdefault(f"{name}, {kind}", {})[f"{count} people, ms"] = value
    print(league_table(rows))
    print("\nFrom part affinity fields instead of candidate parts:\n")
    print(league_table(fields))
    if options.out:
        write_json(
            options.out,
            report(league=rows, fields=fields, images=images, peers={name: version(name) for name in groupers}),
        )


if __name__ == "__main__":
    main()
