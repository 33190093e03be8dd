"""Fine-tuning `photo` on few photos with another skeleton, as in docs/photo.md: the data, and the AP before and after.

python benchmarks/finetune_photo.py DATA WORK

DATA is a folder of photos with COCO annotations. The first 60 photos with people become "own" data for
examples/body14.toml: 40 to train in WORK/own, 20 to measure in WORK/judge. Its head is the mean of COCO's labeled
keypoints of the face. Then the script runs `simplepose train` as a user does, and measures the weights.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from simplepose.data.annotations import Annotations, find_data, read_annotations
from simplepose.network.build import build_model
from simplepose.network.checkpoint import load_checkpoint, save_checkpoint
from simplepose.network.config import ModelConfig
from simplepose.skeleton.skeleton import COCO, Skeleton, load_skeleton
from simplepose.training.state import initialize_from

SKELETON = Path(__file__).parents[1] / "examples" / "body14.toml"
FACE = ("nose", "left_eye", "right_eye", "left_ear", "right_ear")
TRAIN, JUDGE = 40, 20
"""The numbers of photos."""


def own_annotation(person: Any, skeleton: Skeleton) -> dict[str, Any]:
    """A person with the keypoints of ``skeleton``, as a user would have annotated it."""
    row = dict(zip(COCO.dataset_keypoints, person.keypoints.tolist(), strict=True))
    face = np.array([row[name] for name in FACE if row[name][2] > 0])
    row["head"] = [*face[:, :2].mean(0).round(1).tolist(), 2] if len(face) else [0, 0, 0]
    keypoints = [value for name in skeleton.dataset_keypoints for value in row[name]]
    labeled = sum(row[name][2] > 0 for name in skeleton.dataset_keypoints)
    own = {"id": person.id, "category_id": 1, "bbox": list(person.box), "area": person.area}
    return {**own, "iscrowd": int(person.crowd), "keypoints": keypoints, "num_keypoints": labeled}


def write_own(folder: Path, annotations: Annotations, ids: list[int], skeleton: Skeleton) -> None:
    """Write a data folder: links to the photos, and their annotations."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    data: dict[str, Any] = {"images": [], "annotations": []}
    data["categories"] = [{"id": 1, "name": "person", "keypoints": list(skeleton.dataset_keypoints)}]
    for i in ids:
        image = annotations.images[i]
        link = folder / "images" / image.path.name
        link.unlink(missing_ok=True)
        link.symlink_to(image.path.resolve())
        size = {"height": image.height, "width": image.width}
        data["images"].append({"id": i, "file_name": image.path.name, **size})
        data["annotations"] += [{**own_annotation(p, skeleton), "image_id": i} for p in image.people]
    (folder / "annotations.json").write_text(json.dumps(data))


def run(*arguments: object) -> str:
    """The output of a `simplepose` command; its progress and messages are shown."""
    words = [str(argument) for argument in arguments]
    print(f"$ simplepose {shlex.join(words)}", flush=True)
    command = [sys.executable, "-m", "simplepose", *words]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    return subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout


def measure(weights: Path, judge: Path) -> str:
    """AP and AP50 of a checkpoint."""
    arguments = ("--images", judge / "images", "--annotations", judge / "annotations.json", "--json")
    result = json.loads(run("evaluate", weights, *arguments))
    return f"AP {result['AP']:.3f}, AP50 {result['AP50']:.3f}, {result['images']} images"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a folder of photos with COCO annotations")
    parser.add_argument("work", type=Path, help="the folder for data and results")
    parser.add_argument("--set", nargs="+", default=[], help="settings of the training to change")
    options = parser.parse_args()
    skeleton = load_skeleton(SKELETON)
    annotations = read_annotations(*find_data(options.data))
    ids = annotations.with_keypoints()[: TRAIN + JUDGE]
    own, judge, out = (options.work / name for name in ("own", "judge", "run"))
    write_own(own, annotations, ids[:TRAIN], skeleton)
    write_own(judge, annotations, ids[TRAIN:], skeleton)

    photo = load_checkpoint("photo")
    start = build_model(ModelConfig.preset("photo", skeleton))
    initialize_from(start, photo, skeleton)
    save_checkpoint(options.work / "start.safetensors", start, skeleton, use=photo.use)
    before = measure(options.work / "start.safetensors", judge)
    began = time.perf_counter()
    changes = ("--set", *options.set) if options.set else ()
    train = ("train", "--preset", "photo-finetune", "--skeleton", SKELETON, "--data", own, "--val", judge)
    run(*train, "--out", out, *changes)
    minutes = (time.perf_counter() - began) / 60
    print(f"before: {before}\nafter {minutes:.1f} minutes: {measure(out / 'last.safetensors', judge)}")


if __name__ == "__main__":
    main()
