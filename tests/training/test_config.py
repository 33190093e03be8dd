"""Training settings: their values, their JSON form, and the learning rate of a step."""

import json
from dataclasses import replace

import pytest
from helpers.model_cases import ARM

from simplepose import COCO, TargetConfig
from simplepose.network.config import ModelConfig
from simplepose.training.config import PRESETS, TrainConfig, learning_rate


def test_learning_rate_of_each_step():
    config = TrainConfig(lr=1.0, schedule="step", warmup_steps=3, decay_epochs=2, decay=0.2, epochs=5)
    rates = [learning_rate(config, step, 4) for step in range(20)]
    assert rates[:5] == pytest.approx([0.25, 0.5, 0.75, 1, 1])
    assert rates[7:9] == pytest.approx([1, 0.2])
    assert rates[-1] == pytest.approx(0.04)
    cosine = replace(config, schedule="cosine", warmup_steps=0)
    assert [learning_rate(cosine, s, 4) for s in (0, 10)] == pytest.approx([1, 0.5])
    assert 0 < learning_rate(cosine, 19, 4) < 0.01


def test_settings_round_trip_through_json():
    for name in PRESETS:
        config = TrainConfig.preset(name, data="x")
        assert TrainConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    with pytest.raises(ValueError, match="training settings: unknown widht"):
        TrainConfig.from_dict({"widht": 3})
    changed = TrainConfig().with_values({"lr": 0.5, "model.width": 64, "augment.scale": [0.5, 1.0]})
    assert (changed.lr, changed.model.width, changed.augment.scale) == (0.5, 64, (0.5, 1.0))
    assert TrainConfig().differences(changed) == [
        "model.width: 256, 64",
        "augment.scale: (0.7, 1.3), (0.5, 1.0)",
        "lr: 0.0001, 0.5",
    ]


def test_settings_that_are_valid_only_together_are_applied_together():
    config = TrainConfig.preset("tiny").with_values({"accumulate": 3, "batch": 12})
    assert (config.accumulate, config.batch) == (3, 12)
    plain = {"model.plain_hourglass": True, "model.growth": 0}
    plain |= {"model.spatial_attention": False, "model.channel_attention": False}
    assert TrainConfig().with_values(plain).model.plain_hourglass


@pytest.mark.parametrize(
    ("name", "value"), [("compile", "False"), ("sigma", "wide"), ("lr", "fast"), ("augment.rotation", "left")]
)
def test_values_of_the_wrong_type_are_named(name, value):
    with pytest.raises(TypeError, match=f"{name.rpartition('.')[2]}: expected .*, got '{value}'"):
        TrainConfig().with_values({name: value})


def test_preset_has_the_channels_of_the_skeleton():
    assert TrainConfig.preset("tiny").model == ModelConfig.preset("tiny", COCO)
    assert TrainConfig.preset("tiny", ARM).model.channels == ARM.num_channels


def test_targets_follow_the_input_size_and_the_settings():
    config = TrainConfig(model=ModelConfig(input_size=128))
    assert config.targets == TargetConfig.for_input(128)
    changed = replace(config, sigma=2.0, shape="line").targets
    assert changed == TargetConfig(keypoint_sigma=4.5, part_sigma=3.5, shape="line")
    with pytest.raises(ValueError, match=r"sigma: expected a finite number at least 0\.1, at most 10, got 0"):
        replace(config, sigma=0)
    with pytest.raises(ValueError, match="shape: expected one of 'ellipse', 'line', got 'box'"):
        replace(config, shape="box")
