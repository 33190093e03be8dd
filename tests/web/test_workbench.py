"""The events of the page without a server: results, files to download, and errors that end nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from helpers.fake_network import blob_network
from helpers.web_cases import blob_analyzer, blob_file, request

from simplepose.web import workbench
from simplepose.web.files import Files
from simplepose.web.workbench import INTERNAL_ERROR, NO_PICTURE, Shown, Workbench


@pytest.fixture
def upload(tmp_path: Path) -> Path:
    """An uploaded picture in the folder of the page."""
    path = tmp_path / "page" / "a7c3" / "blobs.png"
    path.parent.mkdir(parents=True)
    blob_file(path)
    return path


def make(upload: Path, network: Any = blob_network) -> Workbench:
    return Workbench(blob_analyzer(network), Files(upload.parents[1]))


def test_an_upload_gives_people_a_picture_tables_and_files(upload: Path) -> None:
    shown = make(upload).analyze(request(upload))
    assert shown.analysis is not None
    count = len(shown.analysis.poses)
    assert count > 2
    assert shown.status.startswith(f"{count} people with 1 keypoint or more in blobs.png (256 x 192 pixels); blobs")
    assert shown.picture is not None
    assert shown.picture.shape == (192, 256, 3)
    assert (len(shown.people), shown.times[-1][0]) == (count, "sum")
    assert shown.json_file is not None
    assert shown.picture_file is not None
    assert (shown.json_file.name, shown.picture_file.name) == ("blobs_poses.json", "blobs_poses.jpg")
    assert json.loads(shown.json_file.read_text()) == shown.analysis.poses.to_coco(1)
    drawn = cv2.imread(str(shown.picture_file))
    difference = np.abs(drawn.astype(float) - shown.picture[..., ::-1]).mean()
    assert difference < 5  # the same picture, as JPEG


def test_without_a_picture_the_page_asks_for_one(upload: Path) -> None:
    bench = make(upload)
    for event in (bench.analyze, bench.decode, bench.show, bench.restyle):
        assert event(request(None)) == Shown(NO_PICTURE)


def test_events_after_the_first_do_not_run_the_network(upload: Path) -> None:
    calls = []

    def counted(x: Any) -> Any:
        calls.append(1)
        return blob_network(x)

    bench = make(upload, counted)
    first = bench.analyze(request(upload))
    kept = {"analysis": first.analysis}
    fewer = bench.decode(request(upload, **kept, decoding={"peak_threshold": 0.9}))
    assert fewer.analysis is not None
    assert (len(fewer.people), fewer.analysis.config.peak_threshold) == (0, 0.9)
    assert fewer.json_file is not None
    assert fewer.json_file.read_text() == "[]"
    maps = bench.show(request(upload, **kept, view={"layer": "keypoint maps", "index": 2}))
    assert maps.caption.startswith("2 of 3: left_eye; maximum")
    assert (maps.json_file, maps.picture_file, maps.analysis) == (None, None, first.analysis)
    boxes = bench.restyle(request(upload, **kept, view={"boxes": True}))
    assert first.picture_file is not None
    assert boxes.picture_file is not None
    assert boxes.picture_file.read_bytes() != first.picture_file.read_bytes()
    assert len(calls) == 1
    again = bench.show(request(upload, view={"layer": "part maps"}))  # the maps were not kept
    assert len(calls) == 2
    assert again.caption.startswith("all; maximum")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"settings": {"checkpoint": "/etc/passwd"}},
            "checkpoint: expected one of 'blobs', 'other', got '/etc/passwd'",
        ),
        ({"settings": {"size": 10**9}}, "input size: expected a finite number at least 128, at most 1024"),
        ({"decoding": {"peak_threshold": -1}}, "peak_threshold: expected"),
        ({"view": {"layer": "keypoint maps", "index": 4}}, "map: expected 0 to 3 with keypoint maps, got 4"),
        ({"sent": {"path": "/etc/passwd"}}, "picture: expected an uploaded file; upload it again"),
        ({"sent": "text"}, "picture: expected an uploaded file; upload it again"),
    ],
)
def test_a_wrong_value_is_an_error_on_the_page(changes: dict[str, Any], message: str, upload: Path) -> None:
    values = {name: value for name, value in changes.items() if name != "sent"}
    asked = request(upload, **values)
    shown = make(upload).analyze(replace(asked, upload=changes.get("sent", asked.upload)))
    assert shown.status.startswith(f"error: {message}")
    assert shown == Shown(shown.status)  # nothing of a former picture is left


def test_after_a_wrong_setting_the_picture_is_kept(upload: Path) -> None:
    bench = make(upload)
    kept = bench.analyze(request(upload)).analysis
    for event, changes in (("decode", {"decoding": {"reassign": 3}}), ("show", {"view": {"blend": 2}})):
        shown = getattr(bench, event)(request(upload, analysis=kept, **changes))
        assert shown == Shown(shown.status, kept)
        assert shown.status.startswith("error: ")


def test_a_broken_upload_ends_neither_the_page_nor_its_next_picture(upload: Path) -> None:
    bench = make(upload)
    broken = upload.with_name("broken.png")
    data = upload.read_bytes()
    for content in (b"", b"text", data[: len(data) // 2], data[:16] + bytes(8) + data[24:]):
        broken.write_bytes(content)
        assert bench.analyze(request(broken)).status.startswith("error: broken.png: ")
    assert bench.analyze(request(upload)).people


def test_an_unexpected_failure_is_logged_and_told_without_details(
    upload: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bench = make(upload)

    def fail(*_: Any) -> Any:
        raise RuntimeError("secret")

    monkeypatch.setattr(workbench, "draw_view", fail)
    assert bench.analyze(request(upload)) == Shown(INTERNAL_ERROR)
    assert "secret" in capsys.readouterr().err


def test_a_picture_too_long_for_jpeg_is_written_as_png(upload: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbench, "MOST_JPEG_SIDE", 255)
    shown = make(upload).analyze(request(upload))
    assert shown.picture_file is not None
    assert shown.picture_file.name == "blobs_poses.png"
    assert cv2.imread(str(shown.picture_file)).shape == (192, 256, 3)


def test_the_settings_of_decoding_of_a_checkpoint_are_its_own(upload: Path) -> None:
    bench = make(upload)
    predictor = bench.analyzer.predictor("other")
    predictor.config = replace(predictor.config, decode=replace(predictor.config.decode, peak_threshold=0.37))
    assert bench.own_decoding("other")["peak_threshold"] == 0.37
    assert bench.own_decoding("blobs")["peak_threshold"] == 0.1
