"""The log of a training run: progress on stderr, log.jsonl, optional TensorBoard files, curves, and pictures."""

from __future__ import annotations

import math
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from simplepose.checks import UNLIMITED, check_count, check_number
from simplepose.data.dataset import Sample, collate
from simplepose.data.targets import make_targets
from simplepose.drawing.heatmaps import draw_heatmaps, part_strength, side_by_side
from simplepose.io.atomic import atomic_write, errors_of
from simplepose.io.json_text import read_json_lines, to_json
from simplepose.network.base import PoseNetwork
from simplepose.ops.config import TargetConfig
from simplepose.skeleton.channels import map_channels
from simplepose.skeleton.skeleton import Skeleton
from simplepose.training.contact_sheet import draw_ground_truth
from simplepose.training.curves import has_matplotlib, write_curves

Record = dict[str, Any]

LOG = "log.jsonl"

DRAWN = r"loss|loss_stride\d+|AP|AP50|lr"
"""Names of the values that curves show, as a regular expression."""

PANELS = ("ground truth", "keypoint targets", "predicted keypoints", "part targets", "predicted parts")


class TrainLog:
    """Writes log.jsonl, one JSON object per line, and shows the progress on stderr.

    A context manager: a block that ends without an error also writes curves.png. Records of steps beyond ``step`` are
    dropped, because a resumed run repeats the steps after its last checkpoint.

    Args:
        run: the run's folder.
        step: the number of completed steps.
        total: the number of steps of the whole run.
        tensorboard: also write TensorBoard files, into ``RUN/tensorboard``.

    Raises:
        RuntimeError: ``tensorboard`` is set, but TensorBoard is not installed.
    """

    def __init__(self, run: Path, step: int, total: int, *, tensorboard: bool = False) -> None:
        self.run, self.total = run, total
        self.records = [r for r in read_log(run) if r["step"] <= step]
        with atomic_write(run / LOG) as temporary:
            temporary.write_text("".join(to_json(r) + "\n" for r in self.records), encoding="utf-8")
        self._file: IO[str] = (run / LOG).open("a", encoding="utf-8")
        self._writer = check_tensorboard()(str(run / "tensorboard"), purge_step=step + 1) if tensorboard else None
        self._bar = tqdm(total=total, initial=step, unit="step", file=sys.stderr) if sys.stderr.isatty() else None
        self._start_time, self._start_step = time.perf_counter(), step
        self._last_time, self._last_step = self._start_time, step

    def log_steps(self, step: int, batch: int, **values: float) -> None:
        """Record the means of the steps since the last call; ``batch`` is the number of images of a step."""
        now = time.perf_counter()
        rate = (step - self._last_step) * batch / max(now - self._last_time, 1e-9)
        seconds = now - self._start_time
        self._last_time, self._last_step = now, step
        self._write_record({"step": step, **values, "images_per_second": round(rate, 2), "seconds": round(seconds, 1)})
        if self._bar is not None:
            self._bar.update(step - self._bar.n)
            self._bar.set_postfix(loss=f"{values['loss']:.3f}", img_s=f"{rate:.1f}")
            return
        remaining = seconds / (step - self._start_step) * (self.total - step)
        shown = "  ".join(f"{name} {value:.4g}" for name, value in values.items() if not name.startswith("loss_"))
        self.write_line(f"step {step}/{self.total}  {shown}  {rate:.1f} images/s  remaining {_clock(remaining)}")

    def log_validation(self, step: int, **values: Any) -> None:
        """Record the metrics of a validation."""
        self._write_record({"step": step, **values})
        self.write_line(
            f"step {step}/{self.total}  AP {values['AP']:.3f}  AP50 {values['AP50']:.3f}  {values['AP_of']}"
        )
        self._last_time, self._last_step = time.perf_counter(), step  # validation does not count as training time

    def write_line(self, text: str) -> None:
        """Print a line to stderr above the progress bar."""
        if self._bar is not None:
            self._bar.write(text, file=sys.stderr)
        else:
            print(text, file=sys.stderr, flush=True)

    def __enter__(self) -> TrainLog:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for output in (self._file, self._writer, self._bar):
            if output is not None:
                output.close()
        if self.records and kind is None:
            if has_matplotlib():
                write_curves(self.records, self.run / "curves.png")
            else:
                self.write_line(f"{self.run / 'curves.png'}: not drawn; curves need pip install 'simplepose[plot]'")

    def _write_record(self, record: Record) -> None:
        """Append a record to all logs; JSON has no non-finite numbers, so these become null."""
        record = {n: None if isinstance(v, float) and not math.isfinite(v) else v for n, v in record.items()}
        self.records.append(record)
        with errors_of(self.run / LOG):
            self._file.write(to_json(record) + "\n")
            self._file.flush()
        if self._writer is not None:
            for name, value in record.items():
                if name != "step" and isinstance(value, int | float):
                    self._writer.add_scalar(name, value, record["step"])


def read_log(run: Path) -> list[Record]:
    """The records of a run's log; an incomplete last line is ignored.

    Raises:
        ValueError: a line is not a record; the message names the file and the line.
    """
    path = run / LOG
    records = []
    try:
        for place, record in read_json_lines(path) if path.exists() else ():
            check_count(f"{place}: step", record.get("step"), 0, UNLIMITED)
            for name, value in record.items():
                if value is not None and re.fullmatch(DRAWN, name):
                    check_number(f"{place}: {name}", value)
            records.append(record)
    except TypeError as error:
        raise ValueError(str(error)) from None
    return records


@torch.no_grad()
def draw_predictions(
    model: PoseNetwork, samples: Sequence[Sample], skeleton: Skeleton, targets: TargetConfig
) -> NDArray[np.uint8]:
    """A picture with one row per sample: ground-truth poses, target maps and predicted maps.

    Args:
        model: in eval mode, on any device.
        samples: whole images with their keypoints.
        skeleton: of the samples and the model.
        targets: how the target maps are rendered.

    Returns:
        ``[height, width, 3]`` uint8 BGR.
    """
    device = next(model.parameters()).device
    batch = collate(samples).to(device)
    target_maps = make_targets(batch, skeleton, targets, scales=1).targets[0].cpu()
    output: Any = model(batch.inputs())
    predicted_maps = output.float().cpu()
    channels = map_channels(skeleton, targets.encoding)
    rows = []
    for sample, target, predicted in zip(samples, target_maps, predicted_maps, strict=True):
        panels = [draw_ground_truth(sample.image, sample.keypoints, skeleton)]
        parts = [part_strength(maps[channels.parts].numpy(), targets.encoding) for maps in (target, predicted)]
        maps = (target[channels.keypoints], predicted[channels.keypoints], *parts)
        panels += [draw_heatmaps(sample.image, m) for m in maps]
        rows.append(side_by_side(panels, PANELS, height=240))
    return np.concatenate(rows)


def new_running_sums(scales: int, device: torch.device) -> Tensor:
    """``[2 + scales]`` zeros for the sums of steps, loss and loss of each scale, kept on the device of the loss."""
    return torch.zeros(2 + scales, device=device)


def running_means(sums: Tensor, strides: Sequence[int]) -> dict[str, float]:
    """The mean loss, and that of each scale, since the last log record; ``sums`` as `new_running_sums`."""
    count, total, *scales = sums.tolist()
    named = {f"loss_stride{stride}": value / count for stride, value in zip(strides, scales, strict=True)}
    return {"loss": total / count, **named}


def check_tensorboard() -> Any:
    """The SummaryWriter class; RuntimeError if TensorBoard is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise RuntimeError("tensorboard: not installed; pip install 'simplepose[tensorboard]'") from None
    return SummaryWriter


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
