"""Comparison of each stage with outputs of the paper's released code: `python benchmarks/fidelity.py GOLDEN`.

GOLDEN is a folder; docs/fidelity.md describes its files.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

import simplepose as sp
from simplepose.data.targets import erode
from simplepose.network.config import PRESETS
from simplepose.network.released_names import expected_released_names
from simplepose.training.loss import LossConfig, pose_loss

Row = tuple[str, float, float]  # name, maximum difference, limit


def targets(golden: Path) -> Iterator[Row]:
    """Line targets and the person mask. Visibility in the files is 0 hidden, 1 visible, 2 not labeled."""
    worst_maps = worst_mask = 0.0
    for path in sorted(golden.glob("targets_*.npz")):
        with np.load(path) as case:
            keypoints, expected, mask = case["joints"].copy(), case["heatmaps"], case["mask_all"]
        code = keypoints[..., 2].copy()
        keypoints[..., 2] = np.select([code == 0, code == 1], [1, 2], 0)
        maps = sp.render_targets(keypoints, (512, 512), config=sp.TargetConfig(shape="line"), envelope=True)
        worst_maps = max(worst_maps, float(np.abs(maps - expected[[*range(48), 49]]).max()))
        eroded = erode(torch.from_numpy(mask.astype(np.float32))[None, None])[0, 0].numpy()
        worst_mask = max(worst_mask, float(np.abs(eroded - expected[48]).max()))
    yield "targets and envelope, shape='line'", worst_maps, 1e-5
    yield "person mask", worst_mask, 1e-6


def network(golden: Path) -> Iterator[Row]:
    """Outputs for the same weights and input, relative to the largest value, and the released tensor names."""
    values = np.load(golden / "net_small_io.npz")
    model = sp.load_model(golden / "net_small_ckpt.pth")
    # The released code ran with channels-last images on two threads or more, which sets the order of summation.
    torch.set_num_threads(max(torch.get_num_threads(), 2))
    with torch.inference_mode():
        outputs = model(torch.from_numpy(values["x"]).permute(0, 3, 1, 2), all_outputs=True)
    for stack, scales in enumerate(outputs):
        pairs = [(maps.numpy(), values[f"out_s{stack}_l{scale}"]) for scale, maps in enumerate(scales)]
        relative = max(float(np.abs(output - expected).max() / np.abs(expected).max()) for output, expected in pairs)
        yield f"network, stack {stack}, 5 scales, relative", relative, 1e-4
    released = json.loads((golden / "net_full_state_dict_shapes.json").read_text())
    ours = {name: list(shape) for name, shape in expected_released_names(PRESETS["imhn4-512"]).items()}
    mismatches = sum(ours.get(name) != shape for name, shape in released.items()) + len(ours.keys() - released.keys())
    yield f"network, mismatches among {len(released)} released names and shapes", mismatches, 0


def loss(golden: Path) -> Iterator[Row]:
    """Values and gradients of the loss, relative to the largest value."""
    case, stored = np.load(golden / "loss_case.npz"), json.loads((golden / "loss_case.json").read_text())
    kinds = {
        "focal": (LossConfig.released(), None, case),
        "l2": (LossConfig.l2(), None, case),
        "focal_w12": (LossConfig.released(), (1, 2), np.load(golden / "loss_case_grad_w12.npz")),
    }
    target, mask = torch.from_numpy(case["gt"]), torch.from_numpy(case["mask"])
    for name, (config, stack_weights, gradients) in kinds.items():
        leaves = [[torch.from_numpy(case[f"pred_s{s}_l{i}"]).requires_grad_() for i in range(5)] for s in range(2)]
        total = pose_loss(leaves, target, mask, config=config, stack_weights=stack_weights, divisor=4).total
        total.backward()
        expected = stored[name]["loss"]
        yield f"loss {name}, value, relative", abs(total.item() - expected) / expected, 1e-5
        worst = 0.0
        for s, stack in enumerate(leaves):
            for i, leaf in enumerate(stack):
                stored_gradient = gradients[f"{name}_grad_s{s}_l{i}"]
                difference = np.abs(leaf.grad.numpy() - stored_gradient).max() / np.abs(stored_gradient).max()
                worst = max(worst, float(difference))
        yield f"loss {name}, gradient, relative to the largest", worst, 1e-5


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("golden", type=Path, help="the folder with the outputs of the released code")
    golden = parser.parse_args().golden
    passed = True
    print("| comparison | maximum difference | limit |\n|---|---|---|")
    for stage in (targets, network, loss):
        for name, worst, limit in stage(golden):
            passed &= worst <= limit
            print(f"| {name} | {worst:.2g} | {limit:g} |")
    return 0 if passed else 1


if __name__ == "__main__":
    raise SystemExit(main())
