"""Checkpoints: safetensors files with skeleton and settings in the header, and ``.pth`` files of the released code."""

from __future__ import annotations

import os
import pickle
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as format_safetensors
from torch import Tensor

from simplepose.checks import brief, one_line
from simplepose.io.atomic import atomic_write
from simplepose.io.json_text import parse_json, to_json
from simplepose.network.base import PoseNetwork
from simplepose.network.build import build_model
from simplepose.network.config import PRESETS, ModelConfig
from simplepose.network.device import find_device
from simplepose.network.released_names import expected_names, from_released
from simplepose.network.shipped import HEADER, SHIPPED, WEIGHTS
from simplepose.network.tensors import CheckpointError, check_tensors
from simplepose.skeleton.channels import map_channels
from simplepose.skeleton.skeleton import COCO, Skeleton

__all__ = [
    "SHIPPED",
    "WEIGHTS",
    "Checkpoint",
    "CheckpointError",
    "find_checkpoint",
    "load_checkpoint",
    "load_model",
    "save_checkpoint",
    "write_checkpoint",
]

FORMAT_VERSION = 1


@dataclass(frozen=True)
class Checkpoint:
    """The content of a checkpoint: settings, skeleton and weights of a network."""

    config: ModelConfig
    skeleton: Skeleton
    state: Mapping[str, Tensor]  # by the names of the network's ``state_dict``, floats as float32
    notes: Mapping[str, Any] = field(default_factory=dict)  # additional JSON values of the writer
    use: Mapping[str, Any] = field(default_factory=dict)  # defaults of predictors: `PredictorConfig.from_use`

    def build(self, device: str | torch.device = "cpu") -> PoseNetwork:
        """The network with these weights on ``device``, in eval mode; errors as in `find_device`."""
        target = find_device(device)
        with torch.device("meta"):
            model = build_model(self.config)
        model.to_empty(device=target).load_state_dict(self.state)
        return model.eval()


def save_checkpoint(
    path: str | Path,
    model: PoseNetwork,
    skeleton: Skeleton = COCO,
    *,
    half: bool = False,
    notes: Mapping[str, Any] | None = None,
    use: Mapping[str, Any] | None = None,
) -> None:
    """Write ``model`` as a checkpoint, atomically: ``path`` never holds a partial file.

    Args:
        path: the file, ``*.safetensors``.
        model: the network.
        skeleton: defines the meaning of the channels.
        half: store floats as float16: half the size, 11 significant bits.
        notes: JSON values to store with the weights, such as the training command.
        use: the defaults of predictors of these weights (`simplepose.inference.config.PredictorConfig.from_use`).

    Raises:
        ValueError: the numbers of channels of skeleton and network differ, or a value exceeds the range of float16.
        OSError: the file cannot be written.
    """
    checkpoint = Checkpoint(model.config, skeleton, model.state_dict(), notes or {}, use or {})
    write_checkpoint(path, checkpoint, half=half)


def write_checkpoint(path: str | Path, checkpoint: Checkpoint, *, half: bool = False) -> None:
    """`save_checkpoint` of weights that are not loaded into a network."""
    _check_channels(checkpoint.config, checkpoint.skeleton)
    header = {
        "format_version": FORMAT_VERSION,
        "model": checkpoint.config.to_dict(),
        "skeleton": checkpoint.skeleton.to_dict(),
        "notes": dict(checkpoint.notes),
    }
    if checkpoint.use:
        header["use"] = dict(checkpoint.use)
    tensors = {name: _stored(name, tensor, half) for name, tensor in checkpoint.state.items()}
    data = format_safetensors(tensors, {HEADER: to_json(header)})
    with atomic_write(path) as temporary:
        temporary.write_bytes(data)


def load_checkpoint(name_or_path: str | Path, *, skeleton: Skeleton = COCO, input_size: int = 512) -> Checkpoint:
    """Read a checkpoint of this package or of the released code; the content of the file decides which.

    A ``.pth`` file is read with ``weights_only=True``: no code in it runs.

    Args:
        name_or_path: the name of shipped weights, or a file.
        skeleton: the skeleton of a released checkpoint; a checkpoint of this package contains its own.
        input_size: the image height in pixels that a released checkpoint was trained for; likewise.

    Raises:
        FileNotFoundError: there is neither such a file nor shipped weights of that name.
        CheckpointError: the file is damaged, of an unknown format or unsafe to load; the message names the cause.
    """
    path = find_checkpoint(name_or_path)
    with _errors_with_path(path):
        return _read_safetensors(path) if _is_safetensors(path) else _read_released(path, skeleton, input_size)


def load_model(name_or_path: str | Path, device: str | torch.device = "cpu") -> PoseNetwork:
    """The network of a checkpoint on ``device``, in eval mode.

    Args:
        name_or_path: the name of shipped weights, or a file.
        device: "auto", "cpu", "cuda" or "cuda:N" (`find_device`).

    Raises:
        FileNotFoundError, CheckpointError: as in `load_checkpoint`.
        TypeError, ValueError, RuntimeError: there is no such device; the message names it.
    """
    target = find_device(device)
    return load_checkpoint(name_or_path).build(target)


def find_checkpoint(name_or_path: str | Path) -> Path:
    """The path of a checkpoint given by name or path; raises as `load_checkpoint` does, and TypeError for no name."""
    if not isinstance(name_or_path, str | os.PathLike) or not str(name_or_path):
        raise TypeError(f"checkpoint: expected the name of weights or a file, got {brief(name_or_path)}")
    name = str(name_or_path)
    if name in SHIPPED:
        path = WEIGHTS / f"{name}.safetensors"
        if not path.is_file():
            raise CheckpointError(
                f"checkpoint: this build of simplepose contains no {name!r} weights ({path} is missing); "
                "pass a checkpoint file; docs/weights.md explains where to get one"
            )
        return path
    path = Path(name_or_path)
    if os.path.isdir(path):  # false for a name that is too long, unlike Path.is_dir
        raise CheckpointError(f"{path}: expected a checkpoint file, this is a folder")
    if not os.path.isfile(path):
        message = f"checkpoint: no file {brief(name, 260)} and no weights of that name (known: {', '.join(SHIPPED)})"
        if name in PRESETS:
            message += f"; {name} is a preset whose weights are not shipped; docs/weights.md explains how to get them"
        raise FileNotFoundError(message)
    return path


@contextmanager
def _errors_with_path(path: Path) -> Iterator[None]:
    """Put the path in front of the message of a CheckpointError."""
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None


def _is_safetensors(path: Path) -> bool:
    """Whether the file is safetensors (8 bytes of length, then JSON) and not PyTorch (a zip file or a bare pickle)."""
    with path.open("rb") as file:
        start = file.read(9)
    if not start:
        raise CheckpointError("the file is empty")
    if start[8:] == b"{":
        return True
    if start.startswith((b"PK\x03\x04", b"\x80")):
        return False
    raise CheckpointError("neither a safetensors nor a PyTorch file")


def _read_safetensors(path: Path) -> Checkpoint:
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except SafetensorError as error:
        raise CheckpointError(f"damaged or cut short ({error})") from None
    if HEADER not in metadata:
        raise CheckpointError(f"a safetensors file without the {HEADER!r} header, not written by simplepose")
    try:
        header = parse_json(metadata[HEADER], "header")
        version = header["format_version"]
        if version != FORMAT_VERSION:
            raise CheckpointError(f"format version {version!r}, this version of simplepose reads {FORMAT_VERSION}")
        config = ModelConfig.from_dict(header["model"])
        skeleton = Skeleton.from_dict(header["skeleton"])
        notes, use = dict(header["notes"]), dict(header.get("use", {}))
        _check_channels(config, skeleton)
    except CheckpointError:
        raise
    except KeyError as error:
        raise CheckpointError(f"its header lacks {error}") from None
    except (TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"its header is wrong: {one_line(error)}") from None
    check_tensors(expected_names(config), state)
    return Checkpoint(config, skeleton, _floats(state), notes, use)


def _read_released(path: Path, skeleton: Skeleton, input_size: int) -> Checkpoint:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # warnings about pickle protocols; such files are rejected below
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        forbidden = re.search(r"GLOBAL (\S+)", str(error))
        if forbidden:
            raise CheckpointError(
                f"rejected: its pickle refers to {forbidden[1]}; only tensors and plain values are loaded, "
                "because other objects can run code"
            ) from None
        raise CheckpointError("damaged, or a pickle of other objects than tensors; no code in it was run") from None
    except Exception as error:  # a damaged pickle can raise any exception
        reason = (str(error) or repr(error)).splitlines()[0]
        raise CheckpointError(f"damaged or cut short ({reason})") from None
    weights = content.get("weights", content) if isinstance(content, dict) else None
    if not isinstance(weights, dict):
        raise CheckpointError(f"expected a dictionary of tensors, got {type(content).__name__}")
    config, state = from_released(weights, input_size)
    _check_channels(config, skeleton)
    return Checkpoint(config, skeleton, _floats(state))


def _floats(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}


def _stored(name: str, tensor: Tensor, half: bool) -> Tensor:
    tensor = tensor.detach().cpu().contiguous()
    if not (half and tensor.is_floating_point()):
        return tensor
    if tensor.abs().max() > torch.finfo(torch.float16).max:
        raise ValueError(f"half: {name} has values beyond the range of float16")
    return tensor.half()


def _check_channels(config: ModelConfig, skeleton: Skeleton) -> None:
    expected = map_channels(skeleton, config.encoding).num_channels
    if config.channels != expected:
        raise CheckpointError(f"channels: expected {expected} for skeleton {skeleton.name!r}, got {config.channels}")
