"""The network as an ONNX file, for runtimes without torch."""

from __future__ import annotations

import importlib.util
import json
import warnings
from pathlib import Path

import torch

from simplepose.io.atomic import atomic_write
from simplepose.network.config import STRIDES
from simplepose.network.imhn import IMHN
from simplepose.network.optimize import fold_network
from simplepose.skeleton.skeleton import COCO, Skeleton

OPSET = 18
INPUT_NAME = "image"
OUTPUT_NAME = "heatmaps"


def export_onnx(model: IMHN, path: str | Path, skeleton: Skeleton = COCO) -> None:
    """Write ``model`` as one ONNX file, whole or not at all.

    Its input ``image`` is ``[B, 3, H, W]`` float32 in [0, 1], BGR, of any batch size and any H and W that are multiples
    of 64; its output ``heatmaps`` is ``[B, channels, H/4, W/4]``, the last stack's maps. Batch norms are folded into
    the convolutions. The skeleton and the settings stand as JSON in its metadata.

    Raises:
        ModuleNotFoundError: the packages of ``pip install 'simplepose[export]'`` are missing.
        OSError: the file cannot be written.
    """
    missing = [name for name in ("onnx", "onnxscript") if importlib.util.find_spec(name) is None]
    if missing:
        raise ModuleNotFoundError(f"export needs {' and '.join(missing)}: pip install 'simplepose[export]'")
    multiple = STRIDES[-1]
    batch = torch.export.Dim("batch", min=1)
    height, width = (multiple * torch.export.Dim(name, min=1) for name in ("height_64", "width_64"))
    example = torch.zeros(2, 3, 2 * multiple, 3 * multiple)  # sizes that differ, so that none is taken for another
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the exporter's own insides, of no use to a caller
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
