"""Training settings: their values, their JSON form, and the learning rate of a step."""

import json
from dataclasses import replace

import pytest
from helpers.model_cases import ARM

from simplepose import COCO, TargetConfig
from simplepose.network.config import ModelConfig
from simplepose.training.config import PRESETS, TrainConfig


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
    assert changed == replace(TargetConfig.for_input(128), keypoint_sigma=4.5, part_sigma=3.5, shape="line")
    with pytest.raises(ValueError, match=r"sigma: expected a finite number at least 0\.1, at most 10, got 0"):
        replace(config, sigma=0)
    with pytest.raises(ValueError, match="shape: expected one of 'ellipse', 'line', got 'box'"):
        replace(config, shape="box")


NAN, INFINITY = float("nan"), float("inf")
WRONG = {
    **{
        name: ["3", True, None, [1], 2.5, -1, 10**400, NAN]
        for name in ("epochs", "batch", "accumulate", "keep", "seed")
    },
    **{
        name: ["0.1", True, None, [0.1], -1, NAN, INFINITY, 10**400]
        for name in ("lr", "momentum", "ema", "clip", "sigma")
    },
    **{name: ["no", 0, 1, None, []] for name in ("compile", "relative_steps", "model.channel_attention")},
    **{name: ["foo", "", None, 1, ["sgd"], True] for name in ("optimizer", "schedule", "norm", "precision", "shape")},
    **{name: [3, True, [1], 1.5, {"a": 1}, "a\0b"] for name in ("data", "images", "val", "val_images", "init")},
    **{name: [3, 1, None, "tiny", True, {"width": 64}, [1]] for name in ("model", "augment", "loss")},
    "workers": ["2", None, -1, 100_000, True, 1.0],
    "freeze": ["encoder", None, 3, [1], [""], [["a"]]],
    "sizes": [64, None, ["64"], [63], [64.0], [True], [8192]],
    "model.width": ["64", 65, None, True, 10**400, 64.0],
    "model.kind": ["imhn2", None, 3],
    "model.encoder": [None, 3, ["movenet"]],
    "model.up_widths": [[1, 2], "96", None, [96, 96, 128, "160"], [96, 96, 128, 161]],
    "augment.scale": [[1.0], "ab", None, [2.0, 1.0], ["0.5", "1"], [0.5, INFINITY], [0.5, NAN], 1.0],
    "augment.flip": ["yes", 2, -0.1, None, True],
    "augment.border": [[1, 2], None, "abc", [0, 0, 256], [0.5, 0.5, 0.5], [True, True, True]],
    "augment.min_keypoints": ["5", 2.5, -1, None, True],
    "augment.frame": ["all", None, 1],
    "loss.gamma": ["2", None, 0.5, -1, NAN, INFINITY, True, 10**400],
    "loss.alpha": ["0", None, -0.1, NAN, INFINITY],
    "loss.scale_weights": [None, 1.0, [], [0.0], ["1"], [NAN], [True], [-1.0]],
    "loss.focal_on": ["parts", None, 1],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in WRONG.items() for value in values], ids=lambda v: f"{v!r:.20}"
)
def test_every_setting_has_a_type_and_a_range(name, value):
    with pytest.raises((TypeError, ValueError)) as error:
        TrainConfig(data="x").with_values({name: value})
    assert str(error.value).startswith(f"{name}:")
    assert len(str(error.value)) < 300
    section, _, field = name.rpartition(".")
    data = TrainConfig(data="x").to_dict()
    (data[section] if section else data)[field] = value
    if value != {"width": 64}:  # a file has an object in place of a section
        with pytest.raises((TypeError, ValueError), match=rf"^{name}:"):
            TrainConfig.from_dict(data)


@pytest.mark.parametrize(
    "name", ["widht", "model.size", "model.width.x", "x.y", "", "model.", ".lr", "to_dict", "data.lr"]
)
def test_an_unknown_setting_is_named(name):
    with pytest.raises(ValueError, match=f"settings: there is no '{name}'"):
        TrainConfig(data="x").with_values({name: 1})
