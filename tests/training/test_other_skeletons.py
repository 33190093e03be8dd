"""Training a user-defined skeleton, and from the weights of another skeleton."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from helpers.model_cases import ARM, random_image, random_model
from helpers.train_cases import QUICK, weights

from simplepose import Skeleton
from simplepose.network.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from simplepose.network.config import ModelConfig
from simplepose.network.imhn import IMHN
from simplepose.training.config import TrainConfig
from simplepose.training.loop import train
from simplepose.training.state import initialize_from
from simplepose.training.transfer import new_maps

pytestmark = pytest.mark.usefixtures("one_thread")

TOY = Skeleton(
    "toy",
    ("tip", "left", "right", "tail"),
    (("tip", "left"), ("tip", "right"), ("left", "tail"), ("right", "tail")),
    left_right=(("left", "right"),),
    sigmas=(0.1, 0.1, 0.1, 0.1),
)


@pytest.fixture
def arrows(tmp_path):
    """Eight images of a bright arrow, annotated with a user-defined skeleton and category."""
    generator = np.random.default_rng(0)
    images, annotations = [], []
    (tmp_path / "images").mkdir()
    for i in range(1, 9):
        x, y = generator.uniform(30, 34, 2)
        points = np.array([(x, y - 20), (x - 14, y), (x + 14, y), (x, y + 20)])
        image = np.full((64, 64, 3), 40, np.uint8)
        cv2.fillPoly(image, [np.rint(points[[0, 1, 3, 2]]).astype(np.int32)], (80, 220, 250))
        cv2.circle(image, np.rint(points[0]).astype(int).tolist(), 4, (40, 40, 250), cv2.FILLED)
        cv2.imwrite(str(tmp_path / "images" / f"{i}.png"), image)
        images.append({"id": i, "file_name": f"{i}.png", "height": 64, "width": 64})
        keypoints = [v for p in points for v in (*p.tolist(), 2)]
        box = [x - 14, y - 20, 28, 40]
        annotation = {"id": i, "image_id": i, "category_id": 3, "keypoints": keypoints, "num_keypoints": 4}
        annotations.append({**annotation, "bbox": box, "area": 560, "iscrowd": 0})
    data = {"images": images, "annotations": annotations}
    data["categories"] = [{"id": 3, "name": "arrow", "keypoints": list(TOY.keypoints)}]
    (tmp_path / "annotations.json").write_text(json.dumps(data))
    return tmp_path


def test_a_skeleton_of_four_keypoints_trains_without_a_code_change(arrows, tmp_path):
    preset = TrainConfig.preset("overfit", TOY, data=str(arrows), epochs=100, validate_epochs=100, ema=0.9)
    config = preset.with_values({"model.input_size": 64, "model.width": 16})
    report = train(config, tmp_path / "run", skeleton=TOY)
    assert report.metrics["AP"] >= 0.7
    assert load_checkpoint(report.run / "last.safetensors").skeleton == TOY


def test_init_from_another_skeleton_reinitializes_its_heads_and_names_them(arrows, tmp_path, capsys):
    source = ModelConfig(stacks=2, width=16, growth=4, channels=ARM.num_channels, input_size=64)
    torch.manual_seed(9)
    save_checkpoint(tmp_path / "arm.safetensors", IMHN(source), ARM)
    config = replace(QUICK, data=str(arrows), model=replace(source, channels=TOY.num_channels), epochs=1)
    train(
        replace(config, init=str(tmp_path / "arm.safetensors"), lr=0.0, weight_decay=0.0),
        tmp_path / "run",
        skeleton=TOY,
    )
    messages = capsys.readouterr().err
    assert "stacks.1.heads.4.predict.weight" in messages
    assert "stacks.0.merges.0.maps.conv.weight" in messages
    assert "stem" not in messages.split("training settings")[0]
    initial, trained = load_checkpoint(tmp_path / "arm.safetensors").state, weights(tmp_path / "run")
    assert torch.equal(initial["stem.conv.conv.weight"], trained["model.stem.conv.conv.weight"])


def test_init_moves_the_maps_that_both_skeletons_name_to_their_channels():
    config = ModelConfig(stacks=2, width=16, growth=4, channels=ARM.num_channels)
    swapped = Skeleton("swapped", ("wrist", "elbow", "shoulder"), (("wrist", "elbow"), ("elbow", "shoulder")))
    torch.manual_seed(1)
    checkpoint = Checkpoint(config, ARM, random_model(config).state_dict())
    image = random_image(1, 64, 64)
    expected = checkpoint.build()(image)
    copy, moved = IMHN(config), IMHN(config)
    assert initialize_from(copy, checkpoint, ARM) == []
    assert torch.equal(copy.eval()(image), expected)
    assert initialize_from(moved, checkpoint, swapped) == []
    channels = [1, 0, 4, 3, 2, 5, 6]  # parts in another order and direction, keypoints in another order, then the mask
    torch.testing.assert_close(moved.eval()(image), expected[:, channels], rtol=1e-4, atol=1e-6)
    assert not torch.allclose(expected, expected[:, channels], rtol=1e-4, atol=1e-6)


def test_init_keeps_shared_maps_and_names_those_that_start_anew():
    config = ModelConfig(stacks=1, width=16, growth=4, channels=ARM.num_channels)
    hand = Skeleton("hand", ("elbow", "wrist", "thumb"), (("elbow", "wrist"), ("wrist", "thumb")))
    source = random_model(config)
    checkpoint = Checkpoint(config, ARM, source.state_dict())
    model = IMHN(config)
    initial = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    reinitialized = initialize_from(model, checkpoint, hand)
    assert reinitialized
    assert all(".predict." in name for name in reinitialized)
    assert new_maps(ARM, hand) == ["wrist-thumb", "thumb"]
    for name in reinitialized:
        new, old, first = model.state_dict()[name], source.state_dict()[name], initial[name]
        assert torch.equal(new[[0, 2, 3, 5, 6]], old[[1, 3, 4, 5, 6]])
        assert torch.equal(new[[1, 4]], first[[1, 4]])


def test_init_refuses_another_architecture():
    config = ModelConfig(stacks=1, width=16, growth=4, channels=ARM.num_channels)
    checkpoint = Checkpoint(config, ARM, IMHN(config).state_dict())
    with pytest.raises(ValueError, match="init: expected a network with width 32, as in the settings, got 16"):
        initialize_from(IMHN(replace(config, width=32)), checkpoint, ARM)
