"""The settings of a predictor in one frozen dataclass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypedDict, get_args

import numpy as np

from simplepose.checks import brief, check_choice, check_count, check_flag, check_instance, check_number
from simplepose.inference.frame import Fit
from simplepose.network.optimize import Precision
from simplepose.ops.config import DEFAULT_DECODE, DecodeConfig

if TYPE_CHECKING:
    from typing_extensions import Unpack


Purpose = Literal["display", "evaluation"]

Engine = Literal["torch", "onnxruntime"]


@dataclass(frozen=True)
class PredictorConfig:
    """Settings of the network's runs and of decoding (docs/design.md, Inference and evaluation)."""

    size: int | None = None  # image height in pixels at scale 1; None: the training size of the model, or 512
    fit: Fit = "height"  # the side that becomes `size`: "height", or the "longer" side, which bounds the input
    scales: Sequence[float] = (1.0,)  # multi-scale testing: the network runs at each scale, the maps are averaged
    flip: bool = False  # flip testing: the maps of the mirrored images are averaged in
    decode: DecodeConfig = DEFAULT_DECODE  # the rules of decoding
    precision: Precision = "float32"  # arithmetic of the network; maps are averaged and decoded in float32
    optimize: bool = True  # run a copy by `optimize_for_inference`; otherwise the model under autocast to `precision`
    batch_size: int | None = None  # maximum number of images of a batch; None: 8 on CUDA devices, 1 elsewhere
    engine: Engine = "torch"  # what runs the network; "onnxruntime": faster on CPUs, float32 only, the extra `onnx`
    covariance: bool = False  # the poses have a covariance; on CUDA devices the maps are then averaged in PyTorch

    def __post_init__(self) -> None:
        if self.size is not None:
            check_count("size", self.size, 1, 2**14)
        check_choice("fit", self.fit, get_args(Fit))
        object.__setattr__(self, "scales", _check_scales(self.scales))
        check_flag("flip", self.flip)
        check_instance("decode", self.decode, DecodeConfig)
        check_choice("precision", self.precision, get_args(Precision))
        check_flag("optimize", self.optimize)
        if self.batch_size is not None:
            check_count("batch_size", self.batch_size)
        check_choice("engine", self.engine, get_args(Engine))
        check_flag("covariance", self.covariance)
        if self.engine == "onnxruntime":
            if self.precision != "float32":
                raise ValueError(f"precision: expected float32 with engine 'onnxruntime', got {self.precision!r}")
            if not self.optimize:
                raise ValueError("optimize: expected True with engine 'onnxruntime', got False")

    @classmethod
    def from_use(cls, use: Mapping[str, Any], purpose: Purpose = "display") -> PredictorConfig:
        """The settings of use of a checkpoint; settings that it does not contain have their defaults.

        Args:
            use: `Checkpoint.use`, with the optional keys "size" and "fit" as here, "decode" with values of
                `DecodeConfig` by name, and "evaluation" with those that differ when the AP is measured.
            purpose: "display": poses to show, few of them false; "evaluation": all poses, ranked by score.

        Raises:
            ValueError: an unknown key, or an invalid value.
            TypeError: a value has the wrong type.
        """
        _check_names("use", use, ("size", "fit", "decode", "evaluation"))
        decode, evaluation = use.get("decode", {}), use.get("evaluation", {})
        for name, values in (("use.decode", decode), ("use.evaluation", evaluation)):
            _check_names(name, values, tuple(DecodeConfig.__dataclass_fields__))
        check_choice("purpose", purpose, get_args(Purpose))
        plain = {name: use[name] for name in ("size", "fit") if name in use}
        chosen = {**decode, **(evaluation if purpose == "evaluation" else {})}
        return cls(decode=DecodeConfig(**chosen), **plain)

    def with_changes(self, **changes: Unpack[PredictorOptions]) -> PredictorConfig:
        """A copy with some settings replaced.

        Args:
            changes: the new values by field name.

        Raises:
            TypeError: a setting is unknown; the message lists the known ones.
        """
        for name in changes:
            if name not in self.__dataclass_fields__:
                raise TypeError(
                    f"{name}: no such setting of a predictor; known are {', '.join(self.__dataclass_fields__)}"
                )
        return replace(self, **changes)


class PredictorOptions(TypedDict, total=False):
    """The fields of `PredictorConfig` as keyword arguments."""

    size: int | None
    fit: Fit
    scales: Sequence[float]
    flip: bool
    decode: DecodeConfig
    precision: Precision
    optimize: bool
    batch_size: int | None
    engine: Engine
    covariance: bool


def _check_names(name: str, values: Any, known: tuple[str, ...]) -> None:
    if not isinstance(values, Mapping):
        raise TypeError(f"{name}: expected settings by name, got {brief(values)}")
    if unknown := sorted(brief(key) for key in values if key not in known):
        raise ValueError(f"{name}: unknown {', '.join(unknown)[:200]}, known are {', '.join(known)}")


def _check_scales(scales: Any) -> tuple[float, ...]:
    if not isinstance(scales, list | tuple | np.ndarray):
        raise TypeError(f"scales: expected numbers such as (0.5, 1.0), got {brief(scales)}")
    values = tuple(check_number("scales", scale) for scale in scales)
    if not values or not all(0.01 <= scale <= 100 for scale in values):
        raise ValueError(f"scales: expected one or more numbers from 0.01 to 100, got {brief(scales)}")
    return values
