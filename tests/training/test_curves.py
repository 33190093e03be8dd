"""The curves of a training log: they hold the logged values, and training goes on without matplotlib."""

import cv2
import pytest

from simplepose.training import log as log_module
from simplepose.training.curves import plot_curves, write_curves
from simplepose.training.log import TrainLog

RECORDS = [
    {"step": step, "loss": 10.0 / step, "loss_stride4": 900.0 / step, "loss_stride64": 0.1 / step, "lr": 1e-3}
    for step in range(1, 50)
]
VALIDATIONS = [{"step": 20, "AP": 0.25, "AP50": 0.5}, {"step": 49, "AP": 0.2, "AP50": 0.6}]


def lines(ax):
    return {line.get_label(): line.get_xydata().tolist() for line in ax.get_lines()}


def test_curves_hold_the_logged_values():
    pytest.importorskip("matplotlib")
    loss, ap, rate = plot_curves([*RECORDS, *VALIDATIONS]).axes
    assert loss.get_yscale() == "log"
    assert list(lines(loss)) == ["stride 4", "stride 64", "total (weighted)"]
    assert lines(loss)["total (weighted)"] == [[r["step"], r["loss"]] for r in RECORDS]
    assert lines(ap)["AP"] == [[20, 0.25], [49, 0.2]]
    assert lines(ap)["AP50"] == [[20, 0.5], [49, 0.6]]
    assert "0.250 at step 20" in ap.get_title(loc="left")
    assert [y for _, y in rate.get_lines()[0].get_xydata()] == [1e-3] * 49


def test_panels_without_values_are_left_out():
    pytest.importorskip("matplotlib")
    assert len(plot_curves(RECORDS).axes) == 2
    assert len(plot_curves([{"step": 1, "loss": None, "lr": 0.1}]).axes) == 1


def test_curves_are_written_as_png(tmp_path):
    pytest.importorskip("matplotlib")
    write_curves([*RECORDS, *VALIDATIONS], tmp_path / "curves.png")
    assert cv2.imread(str(tmp_path / "curves.png")) is not None
    assert [path.name for path in tmp_path.iterdir()] == ["curves.png"]


def test_without_matplotlib_the_log_says_once_how_to_get_the_curves(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(log_module, "has_matplotlib", lambda: False)
    with TrainLog(tmp_path, 0, 2) as log:
        log.log_steps(1, 8, loss=2.0)
        log.log_steps(2, 8, loss=1.0)
    assert capsys.readouterr().err.count("pip install 'simplepose[plot]'") == 1
    assert not (tmp_path / "curves.png").exists()
