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
from simplepose.inference.video.open import open_video
from simplepose.inference.video.reader import VideoFrame
from simplepose.inference.video.writer import video_writer


def synthetic_frames(count: int) -> Iterator[VideoFrame]:
    """A camera that moves to the right over a synthetic image, at 12 frames/s."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "simplepose", "synth", f"{folder}/data", "--images", "1", "--seed", "7"]
        subprocess.run(command, check=True)
        image = cv2.imread(f"{folder}/data/images/0000001.jpg")
    for index, shift in enumerate(np.linspace(40, -40, count)):
        matrix = np.array([[1, 0, shift], [0, 1, 0]])
        moved = cv2.warpAffine(image, matrix, image.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)
        yield VideoFrame(moved, index / 12, 1 / 12, index)


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--video", type=Path, help="any video file; default: a synthetic clip")
parser.add_argument("--checkpoint", default="tiny", help="a shipped name or a file; default: %(default)s")
parser.add_argument("--frames", type=int, default=24, help="how many frames to read; default: %(default)s")
parser.add_argument("--out", type=Path, default=Path("people.mp4"), help="the new video; default: %(default)s")
parser.add_argument("--overwrite", action="store_true", help="replace the video of an earlier run")
args = parser.parse_args()
if args.out.exists() and (not args.overwrite or (args.video and args.out.samefile(args.video))):
    parser.error(f"{args.out} exists; choose another --out, or replace it with --overwrite (but not the input)")
predictor = sp.Predictor.from_checkpoint(args.checkpoint)
video = open_video(args.video, note=print) if args.video else None
with video_writer(args.out, video.rate if video else 12) as writer:
    for frame in islice(video or synthetic_frames(args.frames), args.frames):  # images are [H, W, 3] uint8, BGR
        poses = predictor(frame.image).at_least(keypoints=6)
        print(f"frame {frame.index}: {len(poses)} people, scores {poses.scores.round(1)}")
        writer.write(sp.draw_poses(frame.image, poses), frame.time, frame.duration)
print(f"wrote {args.out}")
