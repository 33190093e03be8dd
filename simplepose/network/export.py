"""Export of the network to ONNX, for runtimes without torch."""

from __future__ import annotations

import importlib.util
import json
import warnings
from pathlib import Path

import torch

from simplepose.io.atomic import atomic_write
from simplepose.network.base import PoseNetwork
from simplepose.network.optimize import fold_network
from simplepose.skeleton.skeleton import COCO, Skeleton

OPSET = 18
INPUT_NAME = "image"
OUTPUT_NAME = "heatmaps"


def export_onnx(model: PoseNetwork, path: str | Path, skeleton: Skeleton = COCO) -> None:
    """Write ``model`` as one ONNX file, atomically.

    The input ``image`` is ``[B, 3, H, W]`` float32 in [0, 1], BGR, with any batch size and any multiples of
    ``config.multiple`` as H and W. The output ``heatmaps`` is ``[B, channels, H/stride, W/stride]``, the maps of the
    last stack. BatchNorm is folded into the convolutions. The metadata contain the skeleton and the settings as JSON.

    Raises:
        ModuleNotFoundError: onnx or onnxscript is missing (``pip install 'simplepose[export]'``).
        OSError: the file cannot be written.
    """
    missing = [name for name in ("onnx", "onnxscript") if importlib.util.find_spec(name) is None]
    if missing:
        raise ModuleNotFoundError(f"export needs {' and '.join(missing)}: pip install 'simplepose[export]'")
    multiple = model.config.multiple
    batch = torch.export.Dim("batch", min=1)
    height, width = (multiple * torch.export.Dim(name, min=1) for name in (f"height_{multiple}", f"width_{multiple}"))
    example = torch.zeros(
        2, 3, 2 * multiple, 3 * multiple
    )  # all sizes differ, so that the exporter confuses no dimensions
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings about the exporter's internals
        program = torch.onnx.export(
            fold_network(model).cpu(),
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=[INPUT_NAME],
            output_names=[OUTPUT_NAME],
            dynamic_shapes={"x": {0: batch, 2: height, 3: width}},
            verbose=False,
        )
    assert program is not None
    program.model.metadata_props["skeleton"] = json.dumps(skeleton.to_dict())
    program.model.metadata_props["model"] = json.dumps(model.config.to_dict())
    with atomic_write(path) as temporary:
        program.save(temporary, external_data=False)
