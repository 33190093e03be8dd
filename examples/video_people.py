"""Find and draw the people in a video.

    python examples/video_people.py
    python examples/video_people.py --video clip.mp4 --checkpoint imhn4-512.safetensors

Without a video, it makes a clip of synthetic people, like those that the network `tiny` was trained on.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

import simplepose as sp


def read_frames(path: Path) -> Iterator[np.ndarray]:  # [H, W, 3] uint8, BGR
    video = cv2.VideoCapture(str(path))
    while (frame := video.read()[1]) is not None:
        yield frame


def synthetic_frames(count: int) -> Iterator[np.ndarray]:
    """A camera that moves to the right over a synthetic image."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "simplepose", "synth", f"{folder}/data", "--images", "1", "--seed", "7"]
        subprocess.run(command, check=True)
        image = cv2.imread(f"{folder}/data/images/0000001.jpg")
    for shift in np.linspace(40, -40, count):
        matrix = np.array([[1, 0, shift], [0, 1, 0]])
        yield cv2.warpAffine(image, matrix, image.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--video", type=Path, help="any file that OpenCV reads; default: a synthetic clip")
parser.add_argument("--checkpoint", default="tiny", help="a shipped name or a file; default: %(default)s")
parser.add_argument("--frames", type=int, default=24, help="how many frames to read; default: %(default)s")
parser.add_argument("--out", type=Path, default=Path("people.mp4"), help="the new video; default: %(default)s")
parser.add_argument("--overwrite", action="store_true", help="replace the video of an earlier run")
args = parser.parse_args()
if args.out.exists() and (not args.overwrite or (args.video and args.out.samefile(args.video))):
    parser.error(f"{args.out} exists; choose another --out, or replace it with --overwrite (but not the input)")
predictor = sp.Predictor.from_checkpoint(args.checkpoint)
frames = read_frames(args.video) if args.video else synthetic_frames(args.frames)
writer = None
for number, frame in enumerate(islice(frames, args.frames)):
    poses = predictor(frame).at_least(keypoints=6)
    print(f"frame {number}: {len(poses)} people, scores {poses.scores.round(1)}")
    writer = writer or cv2.VideoWriter(str(args.out), cv2.VideoWriter.fourcc(*"mp4v"), 12, frame.shape[1::-1])
    writer.write(sp.draw_poses(frame, poses))
if writer is None:
    raise SystemExit(f"{args.video}: OpenCV read no frame")
writer.release()
print(f"wrote {args.out}")
