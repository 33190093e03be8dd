"""Networks for part affinity fields: channels, loss, checkpoints, training, pictures and prediction."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers.fake_network import FACE
from helpers.model_cases import ARM
from helpers.target_cases import scene
from helpers.train_cases import QUICK

import simplepose as sp
from simplepose.data.dataset import Batch
from simplepose.data.targets import make_targets
from simplepose.drawing.heatmaps import part_strength
from simplepose.inference.predictor import Predictor
from simplepose.network.build import build_model
from simplepose.network.checkpoint import Checkpoint, CheckpointError, load_checkpoint, save_checkpoint
from simplepose.network.config import ModelConfig
from simplepose.skeleton.skeleton import COCO
from simplepose.training.config import TrainConfig
from simplepose.training.loop import train
from simplepose.training.loss import LossConfig, pose_loss
from simplepose.training.state import initialize_from

TWO_BRANCHES = ModelConfig.cmu(branches=2, encoding="paf", stacks=2, width=16, input_size=64)


def test_skeleton_and_encoding_determine_the_channels():
    assert (TWO_BRANCHES.channels, TWO_BRANCHES.part_channels) == (80, 60)
    assert ModelConfig.preset("imhn3-384", ARM, encoding="paf").channels == 2 * 2 + 3 + 2
    config = TrainConfig.preset("overfit", ARM)
    assert replace(config, model=replace(config.model, encoding="paf")).targets.encoding == "paf"


def test_a_checkpoint_keeps_the_encoding_and_old_ones_have_body_parts(tmp_path):
    save_checkpoint(tmp_path / "paf.safetensors", build_model(TWO_BRANCHES))
    assert load_checkpoint(tmp_path / "paf.safetensors").config == TWO_BRANCHES
    with pytest.raises(CheckpointError, match="channels: expected 50 for skeleton 'coco', got 80"):
        save_checkpoint(
            tmp_path / "x.safetensors", SimpleNamespace(config=replace(TWO_BRANCHES, encoding="parts"), state_dict=dict)
        )
    old = {name: value for name, value in ModelConfig().to_dict().items() if name not in ("encoding", "part_channels")}
    assert ModelConfig.from_dict(old) == ModelConfig()


def test_the_loss_of_fields_is_plain_l2_with_the_weight_of_parts():
    generator = torch.Generator().manual_seed(0)
    target, maps = (torch.rand(2, 9, 4, 4, generator=generator) * 2 - 1 for _ in range(2))
    maps[:, 4:] = target[:, 4:]  # the errors are in the fields
    mask = torch.ones(2, 1, 4, 4)
    for config in (
        LossConfig(part_weight=2.0),
        LossConfig(part_weight=2.0, focal_on="keypoints"),
        LossConfig.l2(part_weight=2.0),
    ):
        for fused in (True, False):
            loss = pose_loss([[maps]], target, mask, skeleton=ARM, config=config, encoding="paf", fused=fused)
            assert float(loss.total) == pytest.approx(2 * float((maps - target).square().sum()) / 2, rel=1e-5)
    other = maps.clone()
    other[:, 4:7] += 0.5
    focal, plain = (
        pose_loss([[other]], target, mask, skeleton=ARM, config=config, encoding="paf").total
        for config in (LossConfig(), LossConfig.l2())
    )
    assert float(focal) != pytest.approx(float(plain), rel=1e-3)  # keypoints keep the focal factor
    with pytest.raises(ValueError, match=r"predictions: expected maps \[B, 7, h, w\]"):
        pose_loss([[maps]], target, mask, skeleton=ARM)


def test_targets_hold_fields_then_keypoints_then_mask_and_envelope():
    keypoints = torch.from_numpy(scene(1, (64, 64), 3))[None]
    cells = torch.zeros(1, 16, 16, dtype=torch.uint8)
    batch = Batch(torch.zeros(1, 64, 64, 3, dtype=torch.uint8), keypoints, cells + 255, cells + 255, torch.zeros(1))
    config = sp.TargetConfig(encoding="paf")
    maps = make_targets(batch, COCO, config, scales=1).targets[0]
    expected = sp.render_targets(keypoints, (64, 64), COCO, config, envelope=True)
    assert torch.equal(maps[:, :78], expected[:, :78])
    assert torch.equal(maps[:, 78], torch.ones(1, 16, 16))
    assert torch.equal(maps[:, 79], expected[:, 78])


@pytest.mark.usefixtures("one_thread")
def test_a_network_of_two_branches_trains_on_fields_and_predicts(tmp_path):
    config = replace(QUICK, data="synth:8,1", model=TWO_BRANCHES, epochs=1)
    report = train(config, tmp_path / "run")
    assert (report.run / "pictures" / "step-00000002.jpg").stat().st_size > 0
    predictor = Predictor.from_checkpoint(report.run / "last.safetensors", flip=True)
    assert predictor.config.decode.encoding == "paf"
    predictor(np.zeros((64, 80, 3), np.uint8))
    with pytest.raises(ValueError, match="decode: expected encoding 'parts', as of the model, got \"paf\""):
        Predictor(build_model(replace(QUICK.model)).eval(), decode=sp.DecodeConfig(encoding="paf"))


class FieldNetwork:
    """Maps of one face: the nose is the brightest blue pixel, and the left eye the right one of two others.

    As a trained network, it sees a left eye at the right in a mirrored image too.
    """

    config = SimpleNamespace(stride=4, multiple=64, input_size=64, encoding="paf")

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        maps = []
        for image in x:
            nose, *eyes = ((int(c.argmax()) % c.shape[1], int(c.argmax()) // c.shape[1], 2) for c in image)
            right_eye, left_eye = sorted(eyes)
            points = np.array([[nose, left_eye, right_eye]], np.float32)
            maps.append(sp.render_targets(points, (64, 64), FACE, sp.TargetConfig(encoding="paf", paf_width=5)))
        return torch.from_numpy(np.stack(maps))


def test_flip_testing_mirrors_the_vectors():
    image = np.zeros((64, 64, 3), np.uint8)
    image[40, 27, 0] = image[12, 45, 1] = image[22, 14, 2] = 255
    plain, flipped = (Predictor(FieldNetwork(), FACE, flip=flip) for flip in (False, True))
    expected, maps = plain.heatmaps(image).maps, flipped.heatmaps(image).maps
    assert (maps - expected).abs().gt(1e-4).float().mean() < 0.01  # cells on the edge of a part
    assert expected[:6].abs().gt(0.3).float().mean() > 0.05
    for predictor in (plain, flipped):
        found = predictor(image).keypoints
        np.testing.assert_allclose(found[0, :, :2], [(27, 40), (45, 12), (14, 22)], atol=0.1)


def test_init_from_another_encoding_reinitializes_the_maps():
    parts = ModelConfig.cmu(branches=2, stacks=2, width=16)
    reinitialized = initialize_from(
        build_model(TWO_BRANCHES), Checkpoint(parts, COCO, build_model(parts).state_dict()), COCO
    )
    assert "stages.0.branches.1.predict.weight" in reinitialized
    assert not any(name.startswith("front.") for name in reinitialized)


def test_pictures_show_the_length_of_the_vectors():
    field = np.array([[[0.6]], [[-0.8]]], np.float32)
    assert part_strength(field, "paf").tolist() == [[[pytest.approx(1)]]]
    assert part_strength(field, "parts") is field
