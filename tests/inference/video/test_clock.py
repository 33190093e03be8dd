"""Times of frames from faulty timestamps."""

from __future__ import annotations

import pytest

from simplepose.inference.video.clock import MAX_GAP, Clock


@pytest.mark.parametrize(
    ("stamps", "times", "estimated"),
    [
        pytest.param([0.0, 0.04, 0.3], [0.0, 0.04, 0.3], 0, id="as they are"),
        pytest.param([7.0, 7.5, 9.0], [0.0, 0.5, 2.0], 0, id="the first is 0"),
        pytest.param([-0.5, 0.0], [0.0, 0.5], 0, id="negative"),
        pytest.param([None, None, None], [0.0, 0.1, 0.2], 3, id="none"),
        pytest.param([None, 5.0, 5.3], [0.0, 0.1, 0.4], 1, id="the first is missing"),
        pytest.param([0.0, None, 0.25], [0.0, 0.1, 0.25], 1, id="one is missing"),
        pytest.param([0.0, float("nan"), float("inf"), 0.4], [0.0, 0.1, 0.2, 0.4], 2, id="not finite"),
        pytest.param([0.0, 0.1, 0.1, 0.2], [0.0, 0.1, 0.11, 0.2], 1, id="repeated once"),
        pytest.param([0.0, 0.2, 0.1, 0.3], [0.0, 0.2, 0.21, 0.3], 1, id="out of order"),
        pytest.param([0.0, 0.0, 0.0, 0.0], [0.0, 0.01, 0.11, 0.21], 3, id="all the same"),
        pytest.param([0.0, 5.0, 0.0, 0.1], [0.0, 5.0, 5.1, 5.2], 1, id="joined videos"),
        pytest.param([0.0, 1e9, 1e9 + 0.2], [0.0, 0.1, 0.3], 1, id="a jump forward"),
        pytest.param([0.0, MAX_GAP], [0.0, MAX_GAP], 0, id="a long gap"),
    ],
)
def test_times(stamps: list[float | None], times: list[float], estimated: int) -> None:
    clock = Clock(0.1)
    assert [clock.time(stamp) for stamp in stamps] == pytest.approx(times, abs=1e-6)
    assert clock.estimated == estimated
