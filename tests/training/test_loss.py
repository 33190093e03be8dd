"""The loss: parity with the released code, and the fused form against plain autograd."""

import json
import re

import numpy as np
import pytest
import torch
from helpers.shared_data import shared

from simplepose import Skeleton
from simplepose.training.loss import CHUNK_ELEMENTS, FOREGROUND, LossConfig, pose_loss, resize_mask

TOY = Skeleton("toy", ("a", "b", "c", "d"), (("a", "b"), ("b", "c"), ("c", "d")))
CONFIGS = {
    "paper": LossConfig(),
    "released": LossConfig.released(),
    "l2": LossConfig.l2(),
    "keypoints_only": LossConfig(focal_on="keypoints"),
    "gamma_1.5": LossConfig(gamma=1.5),
}


def _random_case(stacks=2, sizes=((16, 24), (8, 12)), batch=2, dtype=torch.float64):
    generator = torch.Generator().manual_seed(7)
    channels = TOY.num_channels
    predictions = [
        [torch.randn(batch, channels, *size, generator=generator, dtype=dtype) for size in sizes] for _ in range(stacks)
    ]
    targets = torch.rand(batch, channels, *sizes[0], generator=generator, dtype=dtype)
    targets[targets < 0.5] = 0
    mask = (torch.rand(batch, 1, *sizes[0], generator=generator) > 0.3).to(dtype)
    return predictions, targets, mask


def _gradients(predictions, targets, mask, **options):
    leaves = [[p.clone().requires_grad_() for p in stack] for stack in predictions]
    loss = pose_loss(leaves, targets, mask, **options)
    loss.total.backward()
    return loss, [p.grad for stack in leaves for p in stack]


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize(
    ("name", "config", "stack_weights"),
    [
        ("focal", LossConfig.released(), None),
        ("l2", LossConfig.l2(), None),
        ("focal_w12", LossConfig.released(), (1, 2)),
    ],
)
def test_loss_is_the_released_codes(name, config, stack_weights, fused):
    case = np.load(shared("golden/loss_case.npz"))
    golden = np.load(shared("golden/loss_case_grad_w12.npz")) if name == "focal_w12" else case
    expected = json.loads(shared("golden/loss_case.json").read_text())[name]
    predictions = [[torch.from_numpy(case[f"pred_s{s}_l{i}"]) for i in range(5)] for s in range(2)]
    loss, gradients = _gradients(
        predictions,
        torch.from_numpy(case["gt"]),
        torch.from_numpy(case["mask"]),
        config=config,
        stack_weights=stack_weights,
        divisor=4,
        fused=fused,
    )
    assert loss.total.item() == pytest.approx(expected["loss"], rel=1e-5)
    np.testing.assert_allclose(loss.scales.numpy(), expected["loss_per_scale"], rtol=1e-5)
    for gradient, key in zip(gradients, (f"{name}_grad_s{s}_l{i}" for s in range(2) for i in range(5)), strict=True):
        reference = golden[key]
        np.testing.assert_allclose(gradient.numpy(), reference, rtol=1e-5, atol=1e-6 * np.abs(reference).max())


@pytest.mark.parametrize("name", CONFIGS)
def test_fused_form_is_the_plain_one(name, monkeypatch):
    monkeypatch.setitem(CHUNK_ELEMENTS, "cpu", 1000)
    case = _random_case(batch=3)
    plain, plain_gradients = _gradients(*case, skeleton=TOY, config=CONFIGS[name], fused=False)
    fused, fused_gradients = _gradients(*case, skeleton=TOY, config=CONFIGS[name], fused=True)
    torch.testing.assert_close(fused.total, plain.total, rtol=1e-12, atol=0)
    torch.testing.assert_close(fused_gradients, plain_gradients, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", CONFIGS)
def test_fused_gradient_is_the_numerical_one(name):
    predictions, targets, mask = _random_case(stacks=1, sizes=((3, 4),))
    targets[0, 0, 0, 0] = FOREGROUND

    def total(prediction):
        return pose_loss([[prediction]], targets, mask, skeleton=TOY, config=CONFIGS[name]).total

    assert torch.autograd.gradcheck(total, predictions[0][0].requires_grad_())


def test_formula_on_one_pixel():
    """Equations 2 and 3 by hand with the paper's parameters, summed over the channels with their weights."""
    prediction = torch.full((1, TOY.num_channels, 1, 1), 0.3)
    target = torch.full_like(prediction, 0.7)
    weights = 3 * 1.0 + 4 * 3.0 + 0.1 + 1.0
    expected = weights * (0.3 - 0.7) ** 2 * (1 - (0.3 - 0.1)) ** 2
    mask = torch.ones(1, 1, 1, 1)
    assert pose_loss([[prediction]], target, mask, skeleton=TOY).total.item() == pytest.approx(expected, rel=1e-6)
    background = torch.zeros_like(prediction)
    expected = weights * 0.3**2 * (1 - (1 - 0.3 - 0.02)) ** 2
    assert pose_loss([[prediction]], background, mask, skeleton=TOY).total.item() == pytest.approx(expected, rel=1e-6)


def test_foreground_starts_at_the_float32_hundredth():
    mask, prediction = torch.ones(1, 1, 1, 1), torch.full((1, TOY.num_channels, 1, 1), 0.5)
    below = np.nextafter(np.float32(0.01), np.float32(0))
    totals = [
        pose_loss([[prediction]], torch.full_like(prediction, float(value)), mask, skeleton=TOY).total.item()
        for value in (0.01, below)
    ]
    assert totals[0] / totals[1] == pytest.approx((0.6 / 0.52) ** 2, rel=1e-5)


def test_mask_is_resized_bilinearly_and_cut_below_a_half():
    mask = torch.ones(1, 1, 4, 4)
    mask[0, 0, :2, 0] = 0
    mask[0, 0, 0, 2:] = 0
    mask[0, 0, 1, 3] = 0
    mask[0, 0, 3, 3] = 0
    resized = resize_mask(mask, (2, 2))[0, 0]
    assert resized.tolist() == [[0.5, 0.0], [1.0, 0.75]]


def test_zero_mask_gives_zero_and_finite_gradients():
    predictions, targets, mask = _random_case()
    predictions[0][0][:, :, 0] = 0
    for fused in (False, True):
        loss, gradients = _gradients(
            predictions, targets, mask * 0, skeleton=TOY, config=LossConfig.released(), fused=fused
        )
        assert loss.total.item() == 0
        assert all((g == 0).all() for g in gradients)


@pytest.mark.parametrize("fused", [False, True])
def test_half_precision_is_computed_in_float32(fused):
    predictions, targets, mask = _random_case(dtype=torch.float32)
    halves = [[p.bfloat16() for p in stack] for stack in predictions]
    rounded = [[p.float() for p in stack] for stack in halves]
    expected, expected_gradients = _gradients(rounded, targets, mask, skeleton=TOY, fused=fused)
    with torch.autocast("cpu", torch.bfloat16):
        loss, gradients = _gradients(halves, targets, mask, skeleton=TOY, fused=fused)
    assert loss.total.dtype == torch.float32
    assert loss.total.item() == expected.total.item()
    torch.testing.assert_close(gradients, [g.bfloat16() for g in expected_gradients], rtol=0, atol=0)


def test_fused_form_saves_nothing_of_its_own():
    predictions, targets, mask = _random_case()
    leaves = [[p.requires_grad_() for p in stack] for stack in predictions]
    pyramid = [targets, targets[..., ::2, ::2].contiguous()]
    known = {t.data_ptr() for stack in leaves for t in stack} | {t.data_ptr() for t in pyramid}
    large = []

    def record(tensor):
        if tensor.numel() > mask.numel() and tensor.data_ptr() not in known:
            large.append(tensor.shape)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(record, lambda tensor: tensor):
        pose_loss(leaves, pyramid, mask, skeleton=TOY, fused=False)
        assert large, "this test needs a plain form that saves its factors"
        large.clear()
        pose_loss(leaves, pyramid, mask, skeleton=TOY)
    assert not large


def test_divisor_defaults_to_the_batch_and_one_scale_has_all_the_weight():
    predictions, targets, mask = _random_case(stacks=1, batch=2)
    one_scale = [[predictions[0][0]]]
    default = pose_loss(one_scale, targets, mask, skeleton=TOY)
    assert default.total.item() == pytest.approx(default.scales[0].item() / 2)
    assert pose_loss(one_scale, targets, mask, skeleton=TOY, divisor=8).total.item() == pytest.approx(
        default.total.item() / 4
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"predictions": []}, "predictions: expected [stack][scale] maps, got none"),
        ({"predictions": [[torch.zeros(2, 50, 8, 8)]]}, "predictions: expected maps [B, 9, h, w] for skeleton 'toy'"),
        ({"targets": torch.zeros(2, 8, 16, 24)}, "targets: expected [2, 9, 16, 24] at scale 0"),
        ({"targets": [torch.zeros(2, 9, 16, 24)]}, "targets: expected 2 scales, as predicted, got 1"),
        ({"mask": torch.zeros(2, 16, 24)}, "mask: expected [2, 1, H, W], got [2, 16, 24]"),
        ({"stack_weights": (1, 2, 3)}, "stack_weights: expected 2 numbers"),
    ],
)
def test_errors_name_the_argument(change, message):
    predictions, targets, mask = _random_case(dtype=torch.float32)
    arguments = {"predictions": predictions, "targets": targets, "mask": mask, **change}
    with pytest.raises(ValueError, match=re.escape(message)):
        pose_loss(**arguments, skeleton=TOY)


def test_presets_and_limits_of_the_settings():
    paper = LossConfig()
    assert (paper.gamma, paper.alpha, paper.beta) == (2, 0.1, 0.02)
    released = LossConfig.released()
    assert (released.gamma, released.alpha, released.beta) == (1, 0, 0)
    for bad in ({"gamma": 0.5}, {"alpha": -0.1}, {"keypoint_weight": float("nan")}, {"scale_weights": ()}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            LossConfig(**bad)
