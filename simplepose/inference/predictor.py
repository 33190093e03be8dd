"""Predictor: from images to people. It resizes, runs the network at all scales, averages the maps and decodes.

See docs/design.md, Inference and evaluation.
"""

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

from simplepose.checks import check_count, check_instance, describe, one_line
from simplepose.data.images import ImageError, as_image
from simplepose.exit_gate import compiled_call
from simplepose.inference import model_settings
from simplepose.inference.config import Engine, PredictorConfig, PredictorOptions, Purpose
from simplepose.inference.frame import MULTIPLE, STRIDE, Frame
from simplepose.inference.heatmaps import Heatmaps, resample
from simplepose.inference.pipeline import Stages, run_pipeline
from simplepose.network.checkpoint import Checkpoint, CheckpointError, load_checkpoint
from simplepose.network.device import find_device
from simplepose.network.onnx_engine import OnnxModel
from simplepose.network.optimize import InferenceModel
from simplepose.ops.backend import resolve
from simplepose.ops.decode import decode
from simplepose.ops.inputs import grid_to_image
from simplepose.ops.native.decode_batch import DecodeBatch, average_flipped
from simplepose.poses import Poses
from simplepose.skeleton.channels import map_channels
from simplepose.skeleton.skeleton import COCO, Skeleton

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from simplepose.data.images import ImageLike

Image = NDArray[np.uint8]

DEFAULT_PREDICTOR = PredictorConfig()

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Prepared:
    """An image prepared for the network, or the error that prevented it."""

    source: ImageLike  # the caller's argument: a path, array, tensor or PIL image
    image: Image | None = None  # [H, W, 3] BGR
    grid: Frame | None = None  # the frame of scale 1
    frames: tuple[Frame, ...] = ()  # one for each scale
    inputs: tuple[Image, ...] = ()  # [padded height, padded width, 3], one for each scale
    error: ImageError | None = None


@dataclass(frozen=True)
class Prediction:
    """The result of `Predictor.predict_many` for one image."""

    source: ImageLike  # the caller's argument: a path, array, tensor or PIL image
    image: Image | None  # [H, W, 3] BGR, upright; None after an error
    error: ImageError | None  # the reason why there are no poses
    _poses: Poses | None
    heatmaps: Heatmaps | None = None  # the averaged maps, with ``keep_heatmaps``

    @property
    def poses(self) -> Poses:
        """The people of the image; raises `error` if there is one."""
        if self._poses is None:
            raise self.error or AssertionError("neither poses nor error")
        return self._poses

    def with_poses(self, poses: Poses) -> Prediction:
        """The same prediction with other poses, for example with identities."""
        return replace(self, _poses=poses)


@dataclass(frozen=True)
class _Running:
    """An image in processing: either its heatmaps, or its index in a batch that a GPU decodes."""

    frame: Frame
    batch: DecodeBatch | None = None
    index: int = 0  # of the image in `batch`
    heatmaps: Heatmaps | None = None
    done: torch.cuda.Event | None = None  # recorded after the heatmaps; None on the CPU
    keep: bool = False  # whether the prediction holds the heatmaps


class Predictor:
    """Detects the people in images (docs/design.md, Inference and evaluation).

    The attribute `config` holds the settings with the resolved size and batch size.

    Args:
        model: a `PoseNetwork`, or another callable that maps ``[B, 3, H, W]`` images (BGR in [0, 1]) to
            ``[B, C, H/stride, W/stride]`` maps, C = L + J or L + J + 2 (2 L with encoding "paf"). The attributes
            ``stride``, ``multiple`` (of H and W), ``input_size`` and ``encoding`` of its ``config`` are used where it
            has them; default: 4, 64 and 512 pixels, and that of ``config.decode``.
        skeleton: the keypoint types and parts of the maps.
        config: the settings, such as size, scales and the rules of decoding.
        device: the device of the network; default: the device of the model's parameters.
        options: fields of `PredictorConfig` that replace those of ``config``.

    Raises:
        TypeError, ValueError: an argument is not as described; the message names it.
        RuntimeError: the device does not exist.
        ModuleNotFoundError: onnxruntime is missing for ``engine="onnxruntime"``.
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
        if not callable(model):
            raise TypeError(f"model: expected a network or another callable, got {describe(model)}")
        config = config.with_changes(**options)
        self.skeleton = skeleton
        self.stride = model_settings.network_setting(model, "stride", STRIDE)
        self.multiple = model_settings.network_setting(model, "multiple", MULTIPLE)
        own_device = model_settings.model_device(model)
        self.device = find_engine_device(own_device if device is None else device, config.engine)
        self.config = model_settings.resolve_config(config, model, self.device)
        if config.engine == "onnxruntime":
            self.model = OnnxModel(model_settings.pose_network(model))
        else:
            self.model = model_settings.ready(model, self.device, config.precision if config.optimize else None)
        self._autocast = None if isinstance(self.model, InferenceModel) else PRECISIONS[config.precision]
        self.channels = map_channels(skeleton, self.config.decode.encoding)
        self._mirror = torch.from_numpy(self.channels.flip.astype(np.int64)).to(self.device)
        self._sign = (
            torch.from_numpy(self.channels.flip_sign).to(self.device) if self.channels.encoding == "paf" else None
        )

    @classmethod
    def from_checkpoint(
        cls,
        name_or_path: str | Path = "photo",
        device: str | torch.device = "auto",
        config: PredictorConfig | None = None,
        *,
        purpose: Purpose = "display",
        **options: Unpack[PredictorOptions],
    ) -> Predictor:
        """A predictor with the network and skeleton of a checkpoint and, by default, with its settings of use.

        Args:
            name_or_path: name of shipped weights, or a file (`load_checkpoint`).
            device: "auto" selects a CUDA device if there is one (the CPU for ``engine="onnxruntime"``).
            config: the settings; default: those of the checkpoint (`PredictorConfig.from_use`), such as input size, fit
                and thresholds, and otherwise its training size and the defaults of `PredictorConfig`.
            purpose: "evaluation" takes the checkpoint's thresholds for evaluation, where it has some.
            options: fields of `PredictorConfig` that replace those of the settings.

        Raises:
            FileNotFoundError, CheckpointError: see `load_checkpoint`.
        """
        changed = (DEFAULT_PREDICTOR if config is None else config).with_changes(**options)  # before a file is read
        resolved = find_engine_device(device, changed.engine)
        checkpoint = load_checkpoint(name_or_path)
        config = use_of(checkpoint, name_or_path, purpose) if config is None else config
        return cls(checkpoint.build(resolved), checkpoint.skeleton, config, device=resolved, **options)

    @property
    def size(self) -> int:
        """Height, or longer side, of an image in pixels at scale 1."""
        assert self.config.size is not None
        return self.config.size

    @overload
    def __call__(self, images: list[ImageLike] | tuple[ImageLike, ...]) -> list[Poses]: ...
    @overload
    def __call__(self, images: ImageLike) -> Poses: ...
    def __call__(self, images: ImageLike | list[ImageLike] | tuple[ImageLike, ...]) -> Poses | list[Poses]:
        """The people in an image, or in each image of a list.

        Args:
            images: a path, NumPy array (BGR), PIL image or torch tensor as in `as_image`, or a list of these.

        Returns:
            `Poses` in image pixels, or a list of them.

        Raises:
            ImageError: an image cannot be read or used. (`predict_many` continues with the other images.)
            TypeError: an image has none of these types.
        """
        if isinstance(images, list | tuple):
            return [prediction.poses for prediction in self.predict_many(images)]
        return self.decode(self.heatmaps(images))

    def heatmaps(self, image: ImageLike) -> Heatmaps:
        """The averaged maps of one image with their frame; arguments and errors as in `__call__`."""
        prepared = self.prepare(image)
        if prepared.error:
            raise prepared.error
        return self.average([prepared], self.run_network([prepared]))[0]

    def predict_many(
        self, images: Iterable[ImageLike], *, batch_size: int | None = None, keep_heatmaps: bool = False
    ) -> Iterator[Prediction]:
        """The people in each image, in order. Other threads read, resize and decode while the network runs.

        Consecutive images with inputs of the same size form a batch.

        Args:
            images: images as in ``__call__``, read lazily, about ``3 * batch_size`` images ahead. (For a camera, call
                the predictor for each image instead: reading ahead adds latency.)
            batch_size: maximum number of images of a batch; default: the predictor's.
            keep_heatmaps: whether predictions hold the averaged maps.

        Yields:
            One `Prediction` for each image. An image that cannot be read has an ``error`` and no poses.

        Raises:
            TypeError: ``images`` is a single path, or an image has none of the types of ``__call__``.
        """
        if isinstance(images, str | os.PathLike):
            raise TypeError(f"images: expected several images, got the path {os.fspath(images)!r}; put it into a list")
        run = partial(self._start_averaging, keep=True) if keep_heatmaps else self._run_batch
        stages = Stages(prepare=self.prepare, key=_input_shapes, run=run, finish=self._finish)
        size = (self.config.batch_size or 1) if batch_size is None else check_count("batch_size", batch_size)
        return run_pipeline(images, stages, batch_size=size, workers=min(4, os.cpu_count() or 1))

    @compiled_call
    def prepare(self, image: ImageLike) -> Prepared:
        """Step 1: read an image, resize it to every scale and pad it. An `ImageError` is returned, not raised."""
        try:
            pixels = as_image(image)
        except ImageError as error:
            return Prepared(image, error=error)
        shape = (pixels.shape[0], pixels.shape[1])
        frames = tuple(self._frame(shape, scale) for scale in self.config.scales)
        inputs = tuple(frame.place(pixels) for frame in frames)
        return Prepared(image, pixels, self._frame(shape, 1.0), frames, inputs)

    def _frame(self, shape: tuple[int, int], scale: float) -> Frame:
        return Frame.fit(shape, self.size, scale, self.config.fit, stride=self.stride, multiple=self.multiple)

    @compiled_call
    @torch.inference_mode()
    def run_network(self, batch: Sequence[Prepared]) -> list[Tensor]:
        """Step 2: one ``[B, C, h, w]`` float32 tensor of maps for each scale, with padding, after flip testing."""
        return [self._run_scale(np.stack(inputs)) for inputs in zip(*(p.inputs for p in batch), strict=True)]

    @compiled_call
    @torch.inference_mode()
    def average(self, batch: Sequence[Prepared], maps: Sequence[Tensor]) -> list[Heatmaps]:
        """Step 3: remove the padding, resample the maps of all scales to the grid of scale 1 and average them."""
        result = []
        for i, prepared in enumerate(batch):
            assert prepared.grid is not None
            grid = prepared.grid
            resampled = [resample(m[i], f, grid) for m, f in zip(maps, prepared.frames, strict=True)]
            mean = torch.stack(resampled).mean(0) if len(resampled) > 1 else resampled[0]
            result.append(Heatmaps(mean, grid))
        return result

    @compiled_call
    def decode(self, heatmaps: Heatmaps) -> Poses:
        """Step 4: decode the maps into people, in image pixels."""
        maps, config = heatmaps.maps[: self.channels.num_maps], self.config
        poses = decode(maps, self.skeleton, config.decode, self.stride, covariance=config.covariance)[0]
        return _on_image(poses, heatmaps.frame)

    def _run_batch(self, batch: Sequence[Prepared]) -> list[_Running]:
        """Run the network on a batch; CUDA maps are also decoded by kernels. Covariances need the averaged maps."""
        cuda = resolve("decode", "auto", self.device, self.channels.encoding) == "cuda"
        if cuda and not self.config.covariance:
            return self._start_decoding(batch)
        return self._start_averaging(batch, keep=False)

    def _start_averaging(self, batch: Sequence[Prepared], keep: bool) -> list[_Running]:
        """The averaged maps of a batch, which `_finish` decodes."""
        heatmaps = self.average(batch, self.run_network(batch))
        done = torch.cuda.current_stream(self.device).record_event() if self.device.type == "cuda" else None
        return [_Running(image.frame, heatmaps=image, done=done, keep=keep) for image in heatmaps]

    @compiled_call
    @torch.inference_mode()
    def _start_decoding(self, batch: Sequence[Prepared]) -> list[_Running]:
        """Run the network on a batch and enqueue the decoding kernels after it on the same stream."""
        frames = [prepared.grid for prepared in batch if prepared.grid is not None]
        if self.config.scales != (1.0,):
            heatmaps = self.average(batch, self.run_network(batch))
            batches = [DecodeBatch(h.maps[None].contiguous(), self.skeleton, self.config.decode) for h in heatmaps]
            return [_Running(frame, decoding) for frame, decoding in zip(frames, batches, strict=True)]
        maps = self._network_maps(np.stack([prepared.inputs[0] for prepared in batch])).contiguous()
        sizes = np.array([frame.cells for frame in frames], np.int32)
        mirror = self.channels.flip[: maps.shape[1]].astype(np.int32) if self.config.flip else None
        decoding = DecodeBatch(maps, self.skeleton, self.config.decode, sizes, mirror)
        return [_Running(frame, decoding, index) for index, frame in enumerate(frames)]

    @compiled_call
    def _finish(self, prepared: Prepared, running: _Running | None) -> Prediction:
        """The prediction of an image; ``running`` is None if the image could not be read."""
        if running is None:
            return Prediction(prepared.source, prepared.image, prepared.error, None)
        if running.batch is not None:
            poses = _on_image(running.batch.poses(running.index, *grid_to_image(self.stride)), running.frame)
            return Prediction(prepared.source, prepared.image, None, poses)
        assert running.heatmaps is not None
        if running.done is not None:
            running.done.synchronize()  # the current stream of this thread may differ from the network's
        poses = self.decode(running.heatmaps)
        heatmaps = running.heatmaps if running.keep else None
        return Prediction(prepared.source, prepared.image, None, poses, heatmaps)

    def _run_scale(self, inputs: Image) -> Tensor:  # [B, H, W, 3] -> [B, C, H/stride, W/stride]
        maps = self._network_maps(inputs)
        if not self.config.flip:
            return maps
        count = maps.shape[1]
        return average_flipped(maps, self._mirror[:count], None if self._sign is None else self._sign[:count])

    def _network_maps(self, inputs: Image) -> Tensor:
        """``[B, H, W, 3]`` -> ``[B, C, H/stride, W/stride]``; with flip ``2 B`` of them, the mirrored images last."""
        pixels = torch.from_numpy(inputs)
        if self.device.type == "cuda":
            pixels = pixels.pin_memory()  # a copy from pageable memory would wait for the running batch
        x = pixels.to(self.device, non_blocking=True).permute(0, 3, 1, 2).float() / 255
        return self._call(torch.cat([x, x.flip(3)]) if self.config.flip else x)

    def _call(self, x: Tensor) -> Tensor:
        """The model's maps as float32. Their shape is checked: wrong maps could decode into wrong people silently."""
        autocast = self._autocast not in (None, torch.float32)
        with torch.autocast(self.device.type, self._autocast) if autocast else nullcontext():
            maps: Any = self.model(x)
        if not isinstance(maps, Tensor) or not maps.is_floating_point():
            raise TypeError(f"model: expected a tensor of floating-point maps, got {describe(maps)}")
        grid = (x.shape[2] // self.stride, x.shape[3] // self.stride)
        valid = [(len(x), channels, *grid) for channels in (self.channels.num_maps, self.channels.num_channels)]
        if tuple(maps.shape) not in valid:
            expected = " or ".join(str(list(shape)) for shape in valid)
            raise ValueError(f"model: expected maps {expected} for an input {list(x.shape)}, got {list(maps.shape)}")
        checked: Tensor = maps.float()
        return checked


def use_of(checkpoint: Checkpoint, name_or_path: str | Path, purpose: Purpose = "display") -> PredictorConfig:
    """`PredictorConfig.from_use` for a checkpoint that was read from ``name_or_path``.

    Raises:
        CheckpointError: the settings of use are invalid; the message begins with the path.
    """
    try:
        return PredictorConfig.from_use(checkpoint.use, purpose)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{name_or_path}: its header is wrong: {one_line(error)}") from None


def _on_image(poses: Poses, frame: Frame) -> Poses:
    """Map poses from input pixels to image pixels, in place."""
    poses.keypoints[..., :2] = frame.to_image(poses.keypoints[..., :2])
    if poses.covariance is not None:
        poses.covariance = frame.covariance_to_image(poses.covariance)
    return poses


def _input_shapes(prepared: Prepared) -> tuple[tuple[int, ...], ...] | None:
    """The key of a batch: images with inputs of equal shapes run together."""
    return None if prepared.error else tuple(pixels.shape for pixels in prepared.inputs)


def find_engine_device(device: str | torch.device, engine: Engine) -> torch.device:
    """`find_device`; ``engine="onnxruntime"`` runs on the CPU, also for "auto".

    Raises:
        ValueError, RuntimeError: see `find_device`; or the engine does not run on the device.
    """
    if engine == "torch":
        return find_device(device)
    if str(device) not in ("auto", "cpu"):
        raise ValueError(f"device: expected 'auto' or 'cpu' with engine {engine!r}, got {str(device)!r}")
    return torch.device("cpu")
