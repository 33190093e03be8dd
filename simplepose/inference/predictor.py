"""Predictor: images in, people out; resize, network at several scales, average, decode (DESIGN section 8)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from simplepose.checks import check_count, check_instance
from simplepose.data.images import ImageError, as_image
from simplepose.inference.config import PredictorConfig, PredictorOptions, Purpose
from simplepose.inference.frame import STRIDE, Frame
from simplepose.inference.heatmaps import Heatmaps, resample
from simplepose.inference.pipeline import Stages, run_pipeline
from simplepose.network.base import PoseNetwork
from simplepose.network.checkpoint import load_checkpoint
from simplepose.network.device import find_device
from simplepose.network.optimize import InferenceModel, Precision, optimize_for_inference
from simplepose.ops.backend import resolve
from simplepose.ops.decode import decode
from simplepose.ops.inputs import grid_to_image
from simplepose.ops.native.decode_batch import DecodeBatch, average_flipped
from simplepose.poses import Poses
from simplepose.skeleton.skeleton import COCO, EXTRA_CHANNELS, Skeleton

if TYPE_CHECKING:
    from typing_extensions import Unpack

Image = NDArray[np.uint8]

DEFAULT_SIZE = 512
"""The height that scale 1 gives an image where the model does not say what it was trained for."""

DEFAULT_PREDICTOR = PredictorConfig()

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Prepared:
    """An image made ready for the network, or why it could not be."""

    source: Any  # what the caller gave
    image: Image | None = None  # [H, W, 3] BGR
    grid: Frame | None = None  # the frame of scale 1
    frames: tuple[Frame, ...] = ()  # one a scale
    inputs: tuple[Image, ...] = ()  # [padded height, padded width, 3] each
    error: ImageError | None = None


@dataclass(frozen=True)
class Prediction:
    """What `Predictor.predict_many` found in one image, or why it could not."""

    source: Any  # what the caller gave
    image: Image | None  # [H, W, 3] BGR, upright, to draw on; None after an error
    error: ImageError | None
    _poses: Poses | None
    heatmaps: Heatmaps | None = None  # the averaged maps, if `predict_many` was asked to keep them

    @property
    def poses(self) -> Poses:
        """The people; raises `error` if there is one."""
        if self._poses is None:
            raise self.error or AssertionError("neither poses nor error")
        return self._poses


@dataclass(frozen=True)
class _Running:
    """What is being made of an image: heatmaps, or its place in a batch that a GPU decodes.

    A GPU may still be at work; its event says when heatmaps are done.
    """

    frame: Frame
    batch: DecodeBatch | None = None
    place: int = 0
    heatmaps: Heatmaps | None = None
    done: torch.cuda.Event | None = None
    keep: bool = False  # whether the prediction carries the heatmaps


class Predictor:
    """Finds the people in images.

    Args:
        model: a `PoseNetwork`, or anything that turns ``[B, 3, H, W]`` in [0, 1], BGR, H and W multiples of 64, into
            ``[B, C, H/4, W/4]`` maps, C = L + J or L + J + 2.
        skeleton: what the maps are.
        config: the settings, such as sizes, scales and the rules of decoding.
        device: where images go; default: where the model's parameters are.
        options: fields of `PredictorConfig` that replace those of ``config``.

    `config` holds the settings with the size and the batch size worked out.

    Raises:
        TypeError, ValueError: an argument is not as described; the message names it.
        RuntimeError: there is no such device.
    """

    def __init__(
        self,
        model: nn.Module | Callable[[Tensor], Tensor],
        skeleton: Skeleton = COCO,
        config: PredictorConfig = DEFAULT_PREDICTOR,
        *,
        device: str | torch.device | None = None,
        **options: Unpack[PredictorOptions],
    ) -> None:
        check_instance("skeleton", skeleton, Skeleton)
        check_instance("config", config, PredictorConfig)
        config = config.with_changes(**options)
        self.skeleton = skeleton
        self.device = _model_device(model) if device is None else find_device(device)
        self.config = replace(
            config,
            size=_default_size(model) if config.size is None else config.size,
            batch_size=_default_batch(self.device) if config.batch_size is None else config.batch_size,
        )
        self.model = _ready(model, self.device, config.precision if config.optimize else None)
        self._autocast = None if isinstance(self.model, InferenceModel) else PRECISIONS[config.precision]
        mirror = torch.from_numpy(skeleton.channel_flip.astype(np.int64))
        self._mirror = mirror.to(self.device)

    @classmethod
    def from_checkpoint(
        cls,
        name_or_path: str | Path = "tiny",
        device: str | torch.device = "auto",
        config: PredictorConfig | None = None,
        *,
        purpose: Purpose = "display",
        **options: Unpack[PredictorOptions],
    ) -> Predictor:
        """The predictor of a checkpoint: its network, its skeleton and, by default, the settings it asks for.

        Args:
            name_or_path: weights that come with the package, or a file (`load_checkpoint`).
            device: "auto" takes a CUDA device if there is one.
            config: the settings; default: those that the checkpoint asks for (`PredictorConfig.from_use`), such as
                input size, fit and thresholds, and otherwise its training size and `PredictorConfig`'s defaults.
            purpose: what the poses are for, where the checkpoint asks for other thresholds in an evaluation.
            options: fields of `PredictorConfig` that replace those.

        Raises:
            FileNotFoundError, CheckpointError: see `load_checkpoint`.
        """
        found = find_device(device)
        checkpoint = load_checkpoint(name_or_path)
        config = PredictorConfig.from_use(checkpoint.use, purpose) if config is None else config
        return cls(checkpoint.build(found), checkpoint.skeleton, config, device=found, **options)

    @property
    def size(self) -> int:
        """The height, or longer side, in pixels that scale 1 gives an image."""
        assert self.config.size is not None
        return self.config.size

    @overload
    def __call__(self, images: list[Any] | tuple[Any, ...]) -> list[Poses]: ...
    @overload
    def __call__(self, images: Any) -> Poses: ...
    def __call__(self, images: Any) -> Poses | list[Poses]:
        """The people in an image, or in each of a list.

        Args:
            images: a path, NumPy array (BGR), PIL image or torch tensor, as `as_image` takes them, or a list of such.

        Raises:
            ImageError: an image cannot be read or used; `predict_many` goes on with the others.
            TypeError: an image is none of the above.
        """
        if isinstance(images, list | tuple):
            return [prediction.poses for prediction in self.predict_many(images)]
        return self.decode(self.heatmaps(images))

    def heatmaps(self, image: Any) -> Heatmaps:
        """The averaged maps of one image, and where they lie on it; raises as `__call__` does."""
        prepared = self.prepare(image)
        if prepared.error:
            raise prepared.error
        return self.average([prepared], self.run_network([prepared]))[0]

    def predict_many(
        self, images: Iterable[Any], *, batch_size: int | None = None, keep_heatmaps: bool = False
    ) -> Iterator[Prediction]:
        """The people in each image, in order, while images are read, resized and decoded on threads beside the network.

        Images whose inputs have the same size go through the network together.

        Args:
            images: what ``__call__`` takes, read lazily some ``3 * batch_size`` images ahead. (For a camera call the
                predictor itself: what is read ahead is late.)
            batch_size: most images at once; default: the predictor's.
            keep_heatmaps: whether predictions carry the averaged maps.

        Yields:
            One `Prediction` an image. An image that cannot be read has an ``error`` and no poses.

        Raises:
            TypeError: an image is nothing that could be one.
        """
        if isinstance(images, str | os.PathLike):
            raise TypeError(f"images: expected several images, got the path {os.fspath(images)!r}; put it into a list")
        run = partial(self._start_averaging, keep=True) if keep_heatmaps else self._run_batch
        stages = Stages(prepare=self.prepare, key=_input_shapes, run=run, finish=self._finish)
        size = (self.config.batch_size or 1) if batch_size is None else check_count("batch_size", batch_size)
        return run_pipeline(images, stages, batch_size=size, workers=min(4, os.cpu_count() or 1))

    def prepare(self, image: Any) -> Prepared:
        """The first step: read, resize to every scale and pad. An `ImageError` is returned, not raised."""
        try:
            pixels = as_image(image)
        except ImageError as error:
            return Prepared(image, error=error)
        shape = (pixels.shape[0], pixels.shape[1])
        frames = tuple(Frame.fit(shape, self.size, scale, self.config.fit) for scale in self.config.scales)
        inputs = tuple(frame.place(pixels) for frame in frames)
        return Prepared(image, pixels, Frame.fit(shape, self.size, fit=self.config.fit), frames, inputs)

    @torch.inference_mode()
    def run_network(self, batch: Sequence[Prepared]) -> list[Tensor]:
        """The second step: ``[B, C, h, w]`` float32 maps a scale, padding included, mirrored runs averaged in."""
        return [self._run_scale(np.stack(inputs)) for inputs in zip(*(p.inputs for p in batch), strict=True)]

    @torch.inference_mode()
    def average(self, batch: Sequence[Prepared], maps: Sequence[Tensor]) -> list[Heatmaps]:
        """The third step: the scales' maps without padding, brought to the grid of scale 1 and averaged."""
        result = []
        for i, prepared in enumerate(batch):
            assert prepared.grid is not None
            grid = prepared.grid
            same = [resample(m[i], f, grid) for m, f in zip(maps, prepared.frames, strict=True)]
            result.append(Heatmaps(torch.stack(same).mean(0) if len(same) > 1 else same[0], grid))
        return result

    def decode(self, heatmaps: Heatmaps) -> Poses:
        """The last step: group the people on the grid, in image pixels."""
        count = self.skeleton.num_parts + self.skeleton.num_keypoints
        return _on_image(decode(heatmaps.maps[:count], self.skeleton, self.config.decode, STRIDE)[0], heatmaps.frame)

    def _run_batch(self, batch: Sequence[Prepared]) -> list[_Running]:
        if resolve("decode", "auto", self.device) == "cuda":
            return self._start_decoding(batch)
        return self._start_averaging(batch, keep=False)

    def _start_averaging(self, batch: Sequence[Prepared], keep: bool) -> list[_Running]:
        """The averaged maps of a batch, which `_finish` decodes."""
        heatmaps = self.average(batch, self.run_network(batch))
        done = torch.cuda.current_stream(self.device).record_event() if self.device.type == "cuda" else None
        return [_Running(one.frame, heatmaps=one, done=done, keep=keep) for one in heatmaps]

    @torch.inference_mode()
    def _start_decoding(self, batch: Sequence[Prepared]) -> list[_Running]:
        """As `_run_batch`, with the kernels behind the network on its stream."""
        frames = [prepared.grid for prepared in batch if prepared.grid is not None]
        if self.config.scales != (1.0,):
            heatmaps = self.average(batch, self.run_network(batch))
            alone = [DecodeBatch(one.maps[None].contiguous(), self.skeleton, self.config.decode) for one in heatmaps]
            return [_Running(frame, one) for frame, one in zip(frames, alone, strict=True)]
        maps = self._network_maps(np.stack([prepared.inputs[0] for prepared in batch])).contiguous()
        sizes = np.array([frame.cells for frame in frames], np.int32)
        mirror = self.skeleton.channel_flip[: maps.shape[1]].astype(np.int32) if self.config.flip else None
        decoding = DecodeBatch(maps, self.skeleton, self.config.decode, sizes, mirror)
        return [_Running(frame, decoding, place) for place, frame in enumerate(frames)]

    def _finish(self, prepared: Prepared, running: _Running | None) -> Prediction:
        if running is None:
            return Prediction(prepared.source, prepared.image, prepared.error, None)
        if running.batch is not None:
            poses = _on_image(running.batch.poses(running.place, *grid_to_image(STRIDE)), running.frame)
            return Prediction(prepared.source, prepared.image, None, poses)
        assert running.heatmaps is not None
        if running.done is not None:
            running.done.synchronize()  # this thread's stream need not be the one the network runs on
        poses = self.decode(running.heatmaps)
        heatmaps = running.heatmaps if running.keep else None
        return Prediction(prepared.source, prepared.image, None, poses, heatmaps)

    def _run_scale(self, inputs: Image) -> Tensor:  # [B, H, W, 3] -> [B, C, H/4, W/4]
        maps = self._network_maps(inputs)
        return average_flipped(maps, self._mirror[: maps.shape[1]]) if self.config.flip else maps

    def _network_maps(self, inputs: Image) -> Tensor:
        """``[B, H, W, 3]`` -> ``[B, C, H/4, W/4]``; with flip ``[2 B, C, H/4, W/4]``, the mirrored images last."""
        pixels = torch.from_numpy(inputs)
        if self.device.type == "cuda":
            pixels = pixels.pin_memory()  # otherwise the copy waits for the batch that is running
        x = pixels.to(self.device, non_blocking=True).permute(0, 3, 1, 2).float() / 255
        return self._call(torch.cat([x, x.flip(3)]) if self.config.flip else x)

    def _call(self, x: Tensor) -> Tensor:
        """The model's maps as float32, checked: what is wrong with them would only show as wrong people."""
        autocast = self._autocast not in (None, torch.float32)
        with torch.autocast(self.device.type, self._autocast) if autocast else nullcontext():
            maps: Tensor = self.model(x)
        most = self.skeleton.num_channels
        grid = (x.shape[2] // STRIDE, x.shape[3] // STRIDE)
        known = [(len(x), channels, *grid) for channels in (most - EXTRA_CHANNELS, most)]
        if tuple(maps.shape) not in known:
            expected = " or ".join(str(list(shape)) for shape in known)
            raise ValueError(f"model: expected maps {expected} for an input {list(x.shape)}, got {list(maps.shape)}")
        return maps.float()


def _on_image(poses: Poses, frame: Frame) -> Poses:
    poses.keypoints[..., :2] = frame.to_image(poses.keypoints[..., :2])
    return poses


def _input_shapes(prepared: Prepared) -> tuple[tuple[int, ...], ...] | None:
    return None if prepared.error else tuple(pixels.shape for pixels in prepared.inputs)


def _ready(model: Any, device: torch.device, optimized: Precision | None) -> Any:
    """The model on its device, optimized with a precision if it can be; one in training mode is refused."""
    if isinstance(model, PoseNetwork) and optimized:
        return optimize_for_inference(model, precision=optimized).to(device)
    if not isinstance(model, nn.Module):
        return model
    if model.training:
        raise ValueError("model: expected one in eval mode (model.eval()), got one in training mode")
    return model.to(device)


def _model_device(model: Any) -> torch.device:
    parameter = next(model.parameters(), None) if isinstance(model, nn.Module) else None
    return torch.device("cpu") if parameter is None else parameter.device


def _default_size(model: Any) -> int:
    return int(getattr(getattr(model, "config", None), "input_size", DEFAULT_SIZE))


def _default_batch(device: torch.device) -> int:
    return 8 if device.type == "cuda" else 1
