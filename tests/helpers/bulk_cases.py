"""Inputs of bulk prediction: tars of small images, and jobs whose workers die."""

from __future__ import annotations

import io
import os
import signal
import tarfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from helpers.fake_network import blob_image
from simplepose.bulk.job import Job, Result
from simplepose.bulk.shards import Shard
from simplepose.inference.config import PredictorConfig
from simplepose.synth.scene import SynthConfig, render_scene


def png(value: int, size: int = 64) -> bytes:
    """A small image file; a different one for each value."""
    image, _ = blob_image(size, size + value % 2)
    return cv2.imencode(".png", np.roll(image, value, 1))[1].tobytes()


@cache
def people(index: int) -> bytes:
    """A JPEG file of 96 x 96 pixels with synthetic people."""
    return render_scene(5, index, SynthConfig(size=96, people=(1, 2))).jpeg


def write_tar(path: Path, files: dict[str, bytes], mode: str = "w") -> Path:
    """A tar with files by name."""
    with tarfile.open(path, mode) as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def job_of(out: Path, **options: Any) -> Job:
    """A job with the network `tiny` on images of 96 pixels."""
    config = PredictorConfig(size=96, batch_size=2, **options)
    return Job("tiny", config, "cpu", os.getcwd(), str(out), "simplepose predict")


@dataclass(frozen=True)
class FaultyJob(Job):
    """Its worker is killed at the shard `victim`: once, or `always`."""

    victim: str = ""
    always: bool = False
    wrong: str = ""  # a shard that fails, after which the process fails with every other one, as after errors of CUDA

    def run(self, predictor: Any, shard: Shard, *arguments: Any) -> Result:
        """As `Job.run`."""
        if shard.name == self.wrong or os.environ.get("SIMPLEPOSE_TEST_WRONG"):
            os.environ["SIMPLEPOSE_TEST_WRONG"] = "1"
            return Result(shard, None, error="out of order")
        first = Path(self.out) / "killed"
        if shard.name == self.victim and (self.always or not first.exists()):
            first.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().run(predictor, shard, *arguments)
