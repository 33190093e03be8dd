"""Train a small network on your own skeleton, then predict with it. The default data are synthetic dogs.

    python examples/train_own_skeleton.py
    python examples/train_own_skeleton.py --data FOLDER --val FOLDER --skeleton mine.toml

FOLDER holds `annotations.json`, in COCO's keypoint format, and `images/`.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np

import simplepose as sp

DOG = np.array([[40, -24], [20, -10], [-20, -10], [24, 22], [-22, 22], [-38, -24]])  # x, y in the order of dog.toml


def draw_dogs(folder: Path, skeleton: sp.Skeleton, images: int, seed: int) -> Path:
    """Write synthetic images and annotations of dogs."""
    rng = np.random.default_rng(seed)
    data = {"categories": [{"id": 1, "name": "dog", "keypoints": skeleton.keypoints}], "images": [], "annotations": []}
    (folder / "images").mkdir(parents=True)
    for number in range(1, images + 1):
        image = rng.integers(60, 100, (128, 128, 3), np.uint8)
        for center in [(64, 32), (64, 94)][: rng.integers(1, 3)]:  # one or two
            dog = (DOG * rng.uniform(0.7, 1) + center + rng.uniform(-4, 4, DOG.shape)).round().astype(int)
            for start, end in skeleton.part_index[:5]:
                cv2.line(image, dog[start].tolist(), dog[end].tolist(), (180, 220, 240), 4)
            keypoints = np.insert(dog, 2, 2, axis=1).ravel().tolist()  # x, y, visibility 2
            data["annotations"].append({"image_id": number, "category_id": 1, "keypoints": keypoints})
        cv2.imwrite(str(folder / "images" / f"{number}.png"), image)
        data["images"].append({"id": number, "file_name": f"{number}.png", "width": 128, "height": 128})
    (folder / "annotations.json").write_text(json.dumps(data))
    return folder


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--data", help="folder of the training data; default: synthetic dogs")
parser.add_argument("--val", help="folder of the validation data; default: other synthetic dogs")
parser.add_argument("--skeleton", default=Path(__file__).with_name("dog.toml"), help="default: %(default)s")
parser.add_argument("--set", nargs="+", default=["epochs=40", "validate_epochs=20"], help="training settings")
parser.add_argument("--out", type=Path, default=Path("runs/dogs"), help="a new folder; default: %(default)s")
args = parser.parse_args()
if args.out.is_file() or any(args.out.glob("*")):
    parser.error(f"--out: expected a new or empty folder, {args.out} has content")
skeleton = sp.Skeleton.from_toml(args.skeleton)
data = args.data or draw_dogs(args.out / "train", skeleton, images=40, seed=0)
val = Path(args.val or draw_dogs(args.out / "val", skeleton, images=4, seed=1))
train = ["train", "--data", data, "--val", val, "--skeleton", args.skeleton, "--preset", "overfit", "--set", *args.set]
subprocess.run([sys.executable, "-m", "simplepose", *map(str, train), "--out", str(args.out / "run")], check=True)
predictor = sp.Predictor.from_checkpoint(args.out / "run" / "best.safetensors")
for path in sorted((val / "images").iterdir()):
    poses = predictor(path).at_least(keypoints=4)
    print(f"{path.name}: {len(poses)} found, scores {poses.scores.round(2)}")
    cv2.imwrite(str(args.out / path.name), sp.draw_poses(cv2.imread(str(path)), poses))
