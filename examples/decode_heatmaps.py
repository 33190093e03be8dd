"""Decode heatmaps that you already have: NumPy or torch, one image or a batch.

    python examples/decode_heatmaps.py
    python examples/decode_heatmaps.py --maps maps.npy

maps.npy holds `[48, H, W]` or `[B, 48, H, W]` float32: 30 part maps, then 18 keypoint maps, in the order of `sp.COCO`.
Without it, the script draws the maps of standing people.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch

import simplepose as sp

STANDING = [  # x, y in pixels from the neck, in the order of sp.COCO.keypoints
    *[(0, -40), (0, 0), (-34, 0), (-44, 56), (-48, 110), (34, 0), (44, 56), (48, 110)],  # nose, neck, arms
    *[(-22, 120), (-24, 200), (-26, 280), (22, 120), (24, 200), (26, 280), (-8, -50), (8, -50), (-20, -44), (20, -44)],
]


def standing_people(centers: list[int]) -> np.ndarray:  # [P, 18, 3] x, y, visibility
    """Keypoints of one person for each x in `centers`."""
    people = [[(x + center, y + 120, 2) for x, y in STANDING] for center in centers]
    return np.array(people, np.float32)


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--maps", type=Path, help="a .npy file; default: maps of three and of one standing person")
parser.add_argument("--out", type=Path, default=Path("poses.json"), help="COCO results; default: %(default)s")
parser.add_argument("--overwrite", action="store_true", help="replace the file of an earlier run")
args = parser.parse_args()
if args.out.exists() and (not args.overwrite or (args.maps and args.out.samefile(args.maps))):
    parser.error(f"{args.out} exists; choose another --out, or replace it with --overwrite")

if args.maps:
    maps = np.load(args.maps)
else:
    images = [standing_people([100, 250, 400]), standing_people([256])]
    maps = np.stack([sp.render_targets(people, size=(512, 512)) for people in images])  # [2, 48, 128, 128]

all_poses = sp.decode(maps)  # one Poses for each image
results = []
for image_id, poses in enumerate(all_poses, 1):
    print(f"image {image_id}: {len(poses)} people")
    for keypoints, score in zip(poses.keypoints, poses.scores, strict=True):
        x, y, _ = keypoints[sp.COCO.keypoints.index("nose")]  # NaN where the nose was not found
        print(f"  score {score:5.2f}, nose at ({x:.1f}, {y:.1f})")
    results += poses.to_coco(image_id)
args.out.write_text(json.dumps(results))
print(f"wrote {len(results)} people to {args.out}")

tensor = torch.from_numpy(maps)  # CUDA tensors are decoded on their device
same = [np.array_equal(a.keypoints, b.keypoints, True) for a, b in zip(all_poses, sp.decode(tensor), strict=True)]
print("the tensor gives the same people:", all(same))
