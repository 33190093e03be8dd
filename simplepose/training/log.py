"""What a training run tells: progress, log.jsonl, TensorBoard where asked for, pictures and the curves."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from simplepose.data.contact_sheet import draw_people
from simplepose.data.dataset import Sample, collate
from simplepose.data.images import write_image
from simplepose.data.targets import make_targets
from simplepose.drawing.heatmaps import draw_heatmaps, side_by_side
from simplepose.io.atomic import atomic_write
from simplepose.network.imhn import IMHN
from simplepose.ops.config import TargetConfig
from simplepose.skeleton.skeleton import Skeleton

Record = dict[str, Any]

LOG = "log.jsonl"

PANELS = ("annotated", "keypoint targets", "keypoints predicted", "part targets", "parts predicted")

CURVES = {"loss": (180, 90, 20), "AP": (30, 130, 30)}
"""What the picture of curves shows, one below the other, with its colors (BGR)."""

FONT = cv2.FONT_HERSHEY_SIMPLEX


class TrainLog:
    """The log of a run: one JSON object a line, and its present place shown on stderr.

    Lines beyond ``step`` are of steps that a killed run did after its last checkpoint; they are done again, so they
    are dropped. At the end of a ``with`` block that ends well the curves are drawn.

    Args:
        run: the run's folder.
        step: how many steps are done.
        total: how many there will be.
        tensorboard: also write TensorBoard's files there.

    Raises:
        RuntimeError: TensorBoard is asked for and not installed.
    """

    def __init__(self, run: Path, step: int, total: int, *, tensorboard: bool = False) -> None:
        self.run, self.total = run, total
        self.records = [r for r in read_log(run) if r["step"] <= step]
        with atomic_write(run / LOG) as temporary:
            temporary.write_text("".join(json.dumps(r) + "\n" for r in self.records), encoding="utf-8")
        self._file: IO[str] = (run / LOG).open("a", encoding="utf-8")
        self._writer = check_tensorboard()(str(run / "tensorboard"), purge_step=step + 1) if tensorboard else None
        self._bar = tqdm(total=total, initial=step, unit="step", file=sys.stderr) if sys.stderr.isatty() else None
        self._start, self._first, self._last = time.perf_counter(), step, (time.perf_counter(), step)

    def steps(self, step: int, batch: int, **values: float) -> None:
        """Note the values of the steps since the last call, ``batch`` images each."""
        now = time.perf_counter()
        since, before = self._last
        self._last = (now, step)
        rate = (step - before) * batch / max(now - since, 1e-9)
        seconds = now - self._start
        self._note({"step": step, **values, "images_per_second": round(rate, 2), "seconds": round(seconds, 1)})
        if self._bar is not None:
            self._bar.update(step - self._bar.n)
            self._bar.set_postfix(loss=f"{values['loss']:.3f}", img_s=f"{rate:.1f}")
            return
        left = seconds / (step - self._first) * (self.total - step)
        shown = "  ".join(f"{name} {value:.4g}" for name, value in values.items() if not name.startswith("loss_"))
        self.say(f"step {step}/{self.total}  {shown}  {rate:.1f} images/s  left {_clock(left)}")

    def validation(self, step: int, **values: Any) -> None:
        """Note what a validation gave."""
        self._note({"step": step, **values})
        self.say(f"step {step}/{self.total}  AP {values['AP']:.3f}  AP50 {values['AP50']:.3f}  {values['AP_of']}")
        self._last = (time.perf_counter(), step)  # its time is none of the next steps'

    def say(self, text: str) -> None:
        """A line on stderr that leaves the bar whole."""
        if self._bar is not None:
            self._bar.write(text, file=sys.stderr)
        else:
            print(text, file=sys.stderr, flush=True)

    def __enter__(self) -> TrainLog:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for part in (self._file, self._writer, self._bar):
            if part is not None:
                part.close()
        if self.records and kind is None:
            write_image(self.run / "curves.png", draw_curves(self.records))

    def _note(self, record: Record) -> None:
        """JSON has no numbers for what is not finite: they become null."""
        record = {n: None if isinstance(v, float) and not math.isfinite(v) else v for n, v in record.items()}
        self.records.append(record)
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()
        if self._writer is not None:
            for name, value in record.items():
                if name != "step" and isinstance(value, int | float):
                    self._writer.add_scalar(name, value, record["step"])


def read_log(run: Path) -> list[Record]:
    """The lines of a run's log; without the last where it was cut off."""
    path = run / LOG
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


@torch.no_grad()
def draw_predictions(
    model: IMHN, samples: Sequence[Sample], skeleton: Skeleton, targets: TargetConfig
) -> NDArray[np.uint8]:
    """Each sample's people, target maps and predicted maps, one sample a row."""
    device = next(model.parameters()).device
    batch = collate(samples).to(device)
    truth = make_targets(batch, skeleton, targets, scales=1).targets[0].cpu()
    predicted: Any = model(batch.inputs())
    predicted = predicted.float().cpu()
    parts = slice(0, skeleton.num_parts)
    keypoints = slice(skeleton.num_parts, skeleton.num_parts + skeleton.num_keypoints)
    rows = []
    for sample, wanted, got in zip(samples, truth, predicted, strict=True):
        maps = (wanted[keypoints], got[keypoints], wanted[parts], got[parts])
        panels = [draw_people(sample.image, sample.keypoints, skeleton)]
        panels += [draw_heatmaps(sample.image, m) for m in maps]
        rows.append(side_by_side(panels, PANELS, height=240))
    return np.concatenate(rows)


def draw_curves(records: Sequence[Record], width: int = 900, height: int = 280) -> NDArray[np.uint8]:
    """The loss (logarithmic) and the AP over the steps."""
    panels = []
    for name, color in CURVES.items():
        points = [(r["step"], r[name]) for r in records if r.get(name) is not None]
        if points:
            xy = np.array(points, np.float64)
            panels.append(_draw_curve(name, xy, color, width, height, log=name == "loss"))
    return np.concatenate(panels)


def _draw_curve(
    name: str, points: NDArray[np.float64], color: tuple[int, int, int], width: int, height: int, *, log: bool
) -> NDArray[np.uint8]:
    left, top, right, bottom = 80, 30, width - 20, height - 30
    canvas: Any = np.full((height, width, 3), 255, np.uint8)
    values = np.log10(np.maximum(points[:, 1], 1e-12)) if log else points[:, 1]
    low, high = (float(values.min()), float(values.max())) if log else (0.0, 1.0)
    high = max(high, low + 1e-3)
    last = max(float(points[-1, 0]), 1.0)
    cv2.rectangle(canvas, (left, top), (right, bottom), (160, 160, 160), 1)
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        y, x = round(bottom + share * (top - bottom)), round(left + share * (right - left))
        value = low + share * (high - low)
        cv2.line(canvas, (left, y), (right, y), (225, 225, 225), 1)
        cv2.putText(canvas, f"{10**value if log else value:.3g}", (8, y + 4), FONT, 0.4, (0, 0, 0), 1, cv2.LINE_AA)
        cv2.putText(canvas, f"{share * last:.0f}", (x - 12, bottom + 16), FONT, 0.4, (0, 0, 0), 1, cv2.LINE_AA)
    cv2.putText(canvas, name, (left, top - 10), FONT, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
    xs = left + points[:, 0] / last * (right - left)
    ys = bottom + (values - low) / (high - low) * (top - bottom)
    cv2.polylines(canvas, [np.rint(np.stack([xs, ys], 1)).astype(np.int32)], False, color, 2, cv2.LINE_AA)
    for x_point, y_point in zip(xs, ys, strict=True) if len(xs) < 60 else ():
        cv2.circle(canvas, (round(x_point), round(y_point)), 3, color, cv2.FILLED, cv2.LINE_AA)
    return np.asarray(canvas, np.uint8)


def new_window(scales: int, device: torch.device) -> Tensor:
    """``[2 + scales]`` zeros: steps, loss and loss of each scale, summed up on the device without waiting for it."""
    return torch.zeros(2 + scales, device=device)


def window_means(window: Tensor) -> dict[str, float]:
    """The means of a window by name."""
    count, total, *scales = window.tolist()
    named = {f"loss_stride{4 << k}": value / count for k, value in enumerate(scales)}
    return {"loss": total / count, **named}


def check_tensorboard() -> Any:
    """TensorBoard's writer; RuntimeError where it is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise RuntimeError("tensorboard: it is not installed; pip install 'simplepose[tensorboard]'") from None
    return SummaryWriter


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
