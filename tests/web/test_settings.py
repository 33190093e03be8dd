"""The settings that a browser sends: valid ones are taken, and every other value is refused by its name."""

from __future__ import annotations

import pytest
from helpers.web_cases import DECODING, SETTINGS, VIEW

from simplepose.ops.config import DecodeConfig
from simplepose.web.settings import CONTROLS, NetworkSettings, View, decode_config

NAN, INFINITY = float("nan"), float("inf")


def test_numbers_of_a_slider_are_taken_as_integers_or_floats() -> None:
    settings = NetworkSettings(**{**SETTINGS, "size": 320.0, "scales": [1, 0.4, 1.0]})
    assert (settings.size, settings.scales) == (320, (0.4, 1.0))
    assert isinstance(settings.size, int)
    view = View(**{**VIEW, "index": 2.0, "min_keypoints": 3.0})
    assert (view.index, view.min_keypoints) == (2, 3)


@pytest.mark.parametrize(
    ("field", "values", "message"),
    [
        ("size", [None, "512", 100, 2000, NAN, INFINITY, True, [512]], "input size"),
        ("scales", [None, [], "1", [0.3], [NAN], ["1"], [[1.0]], 1.0, {"1": 1}], "input scales"),
        ("flip", [None, "yes", 1], "flip testing"),
        ("checkpoint", [None, 1, ["photo"]], "checkpoint"),
    ],
)
def test_wrong_network_settings_are_refused(field: str, values: list[object], message: str) -> None:
    for value in values:
        with pytest.raises((TypeError, ValueError), match=f"^{message}: "):
            NetworkSettings(**{**SETTINGS, field: value})


@pytest.mark.parametrize(
    ("field", "values", "message"),
    [
        ("layer", [None, "maps", 1, ["people"]], "view"),
        ("index", [None, "1", -1, NAN, 1e9, True], "map"),
        ("blend", [None, "1", -0.1, 1.1, NAN], "blend"),
        ("min_keypoints", [None, -1, NAN, [3]], "keypoints of a person"),
        ("boxes", [None, 1, "no"], "boxes"),
    ],
)
def test_wrong_views_are_refused(field: str, values: list[object], message: str) -> None:
    for value in values:
        with pytest.raises((TypeError, ValueError), match=f"^{message}: "):
            View(**{**VIEW, field: value})


def test_controls_replace_their_settings_of_decoding_and_keep_the_others() -> None:
    base = DecodeConfig.paper(max_peaks=7)
    config = decode_config(base, {**DECODING, "peak_threshold": 0.25, "reassign": True})
    assert (config.peak_threshold, config.reassign, config.max_peaks) == (0.25, True, 7)
    assert config.part_score == "weighted_sum"
    for control in CONTROLS:
        with pytest.raises((TypeError, ValueError), match=f"^{control.name}: "):
            decode_config(base, {**DECODING, control.name: "x"})
        if control.most is not None:  # the ends of the slider are valid
            decode_config(base, {**DECODING, control.name: control.least})
            decode_config(base, {**DECODING, control.name: control.most})
