"""Networks run by ONNX Runtime on the CPU, for `Predictor(engine="onnxruntime")`."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import warnings
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from simplepose.network.base import PoseNetwork
from simplepose.network.config import STRIDES
from simplepose.network.export import INPUT_NAME, OPSET, OUTPUT_NAME
from simplepose.network.optimize import fold_network

MAX_SESSIONS = 4
"""The number of sessions that a process keeps for networks that it meets again."""

_sessions: dict[tuple[str, int], Any] = {}  # onnxruntime.InferenceSession by weights and threads, oldest first


class OnnxModel:
    """A network in ONNX Runtime: the same call and the same maps up to rounding, float32, on the CPU.

    The network is exported in memory, once for all input sizes; no file is written. Networks with equal weights share
    a session. It runs on as many threads as PyTorch had when it was made (``torch.get_num_threads()``).

    Args:
        model: the network; it is not modified.

    Raises:
        ModuleNotFoundError: onnxruntime or onnx is missing (``pip install 'simplepose[onnx]'``).
    """

    def __init__(self, model: PoseNetwork) -> None:
        missing = [name for name in ("onnxruntime", "onnx") if importlib.util.find_spec(name) is None]
        if missing:
            raise ModuleNotFoundError(
                f"engine: 'onnxruntime' needs {' and '.join(missing)}: pip install 'simplepose[onnx]'"
            )
        self.config = model.config
        key = (_digest(model), torch.get_num_threads())
        if key not in _sessions:
            while len(_sessions) >= MAX_SESSIONS:
                del _sessions[next(iter(_sessions))]
            _sessions[key] = _new_session(_exported(model), key[1])
        self.session = _sessions[key]

    def __call__(self, x: Tensor) -> Tensor:
        """``[B, 3, H, W]`` images to the ``[B, channels, H/4, W/4]`` maps of the last stack, as `PoseNetwork`."""
        image = np.ascontiguousarray(x.numpy(), np.float32)
        return torch.from_numpy(self.session.run([OUTPUT_NAME], {INPUT_NAME: image})[0])


def _exported(model: PoseNetwork) -> bytes:
    """The ONNX model with dynamic batch, height and width.

    `torch.onnx.export` traces here (dynamo=False): that takes half a second, its other exporter 14 s.
    """
    target = io.BytesIO()
    multiple = STRIDES[-1]
    dynamic = {0: "batch", 2: "height", 3: "width"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer's warnings about the check of the input size
        torch.onnx.export(
            fold_network(model).cpu(),
            (torch.zeros(2, 3, 2 * multiple, 3 * multiple),),
            cast(Any, target),  # a file object, which the type of the argument does not mention
            dynamo=False,
            opset_version=OPSET,
            input_names=[INPUT_NAME],
            output_names=[OUTPUT_NAME],
            dynamic_axes={INPUT_NAME: dynamic, OUTPUT_NAME: dynamic},
        )
    return target.getvalue()


def _new_session(exported: bytes, threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # idle threads sleep: other threads read, resize and decode while the network runs
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3  # errors only
    return onnxruntime.InferenceSession(exported, options, providers=["CPUExecutionProvider"])


def _digest(model: PoseNetwork) -> str:
    """Equal for networks with the same settings and weights."""
    digest = hashlib.sha256(json.dumps(model.config.to_dict()).encode())
    for name, tensor in model.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
