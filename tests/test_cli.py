"""The command line: help, exit codes, one JSON object on stdout, and the files that each command writes."""

from __future__ import annotations

import argparse
import json

import cv2
import numpy as np
import pytest
import torch
from helpers.command_line import run
from helpers.processes import run_python

import simplepose as sp
from simplepose.cli import bench
from simplepose.cli.demo import PHOTO
from simplepose.cli.main import COMMANDS
from simplepose.cli.options import add_decode_options, add_predictor_options, make_predictor
from simplepose.data.annotations import read_annotations
from simplepose.evaluation import oracle
from simplepose.inference.config import PredictorConfig
from simplepose.network import shipped
from simplepose.network.checkpoint import load_checkpoint, save_checkpoint
from simplepose.network.config import ModelConfig
from simplepose.network.imhn import IMHN


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A narrow network with random weights, which is fast."""
    path = tmp_path_factory.mktemp("weights") / "narrow.safetensors"
    torch.manual_seed(0)
    model = IMHN(ModelConfig(stacks=1, width=16, growth=8, input_size=128))
    save_checkpoint(path, model, sp.COCO)
    return path


@pytest.fixture(scope="module")
def weights_with_use(tmp_path_factory):
    """Weights that ask for a size, a fit and a threshold."""
    path = tmp_path_factory.mktemp("use") / "use.safetensors"
    use = {"size": 192, "fit": "longer", "decode": {"peak_threshold": 0.2}}
    save_checkpoint(path, IMHN(ModelConfig(stacks=1, width=16, growth=8, input_size=128)), sp.COCO, use=use)
    return path


@pytest.fixture
def photos(tmp_path):
    """A folder with two images."""
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in ("1.jpg", "2.jpg"):
        cv2.imwrite(str(folder / name), rng.integers(0, 255, (60, 90, 3), np.uint8))
    return folder


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(capsys, command):
    code, out, _ = run(capsys, command, "--help")
    assert code == 0
    assert "usage: simplepose" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: COMMAND"),
        (["perdict"], "invalid choice: 'perdict'"),
        (["decode", "maps.npz", "--set", "reech=1"], "--set: expected NAME=VALUE"),
        (["decode", "maps.npz", "--set", "join_distance=-1"], "join_distance: expected a finite number at least 0"),
        (["decode", "maps.npz", "--skeleton", "cooc"], "no skeleton of that name"),
        (["predict", "x.jpg", "--draw"], "--draw needs --out"),
        (["evaluate", "--annotations", "x.json"], "expected a CHECKPOINT and --images, or --oracle"),
        (["synth", "out", "--images", "0"], "images: expected 1"),
        (["predict", "x.jpg", "--checkpoint", "tniy"], "known: tiny"),
        (["predict", "x.jpg", "--engine", "onnxruntime", "--device", "cuda"], "device: expected 'auto' or 'cpu' with"),
        (
            ["predict", "x.jpg", "--engine", "onnxruntime", "--precision", "bfloat16"],
            "precision: expected float32 with",
        ),
        (["predict", "x.jpg", "--engine", "onxruntime"], "--engine: invalid choice"),
        (["bench", "--checkpoint", "tiny", "--preset", "tiny"], "--preset: expected none with --checkpoint"),
        (["demo", "--oracle", "clean", "--checkpoint", "tiny"], "--oracle uses no network"),
        (["demo", "x.jpg", "--oracle", "clean"], "--oracle needs the ground truth of the scene"),
        (["demo", "--checkpoint", "tniy"], "known: tiny"),
    ],
)
def test_invalid_arguments_give_exit_code_2_and_a_message(capsys, monkeypatch, tmp_path, arguments, message):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, *arguments)
    assert code == 2
    assert message in err
    assert out == ""
    assert list(tmp_path.iterdir()) == []


def test_version_and_info_print_the_installation(capsys):
    assert run(capsys, "--version")[1] == f"simplepose {sp.__version__}\n"
    code, out, _ = run(capsys, "info", "--json")
    facts = json.loads(out)
    assert code == 0
    assert facts["native"]
    assert facts["native_version"] == sp.__version__
    if facts["cuda_usable"]:
        assert facts["render_targets"] == "C++ on the CPU, a CUDA kernel on a CUDA device"
    else:
        for op in ("render_targets", "find_peaks", "match_parts"):
            assert facts[op] == "C++ on the CPU, PyTorch on a CUDA device"
    assert facts["assign_keypoints"] == "C++, always on the CPU"


@pytest.mark.parametrize(
    ("command", "purpose"), [("predict", "display"), ("bench", "display"), ("evaluate", "evaluation")]
)
def test_help_states_the_defaults_of_photo(capsys, command, purpose):
    use = load_checkpoint("photo").use
    config = PredictorConfig.from_use(use, purpose)
    decode = " ".join(f"{name}={getattr(config.decode, name)}" for name in use["decode"])
    text = " ".join(run(capsys, command, "--help")[1].split())
    assert f"default: the checkpoint's own ({config.size} for photo)" in text
    assert f"default: the checkpoint's own ({config.fit} for photo)" in text
    assert f"default: the checkpoint's own ({decode} for photo)" in text


def test_help_of_a_build_without_weights_states_no_numbers(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(shipped, "WEIGHTS", tmp_path)
    for content in (None, b"damaged"):
        if content:
            (tmp_path / "photo.safetensors").write_bytes(content)
        text = " ".join(run(capsys, "predict", "--help")[1].split())
        assert "default: the checkpoint's own, otherwise its training size" in text
        assert "for photo)" not in text


def test_info_states_the_defaults_of_weights_without_settings_of_use(capsys, checkpoint):
    facts = json.loads(run(capsys, "info", checkpoint, "--json")[1])
    predictor = sp.Predictor.from_checkpoint(checkpoint, "cpu")
    assert (facts["use_size"], facts["use_fit"]) == (predictor.size, predictor.config.fit) == (128, "height")


def test_info_describes_a_checkpoint(capsys, weights_with_use):
    code, out, _ = run(capsys, "info", weights_with_use)
    assert code == 0
    facts = dict(line.split("  ", 1) for line in out.splitlines())
    assert {name: value.strip() for name, value in facts.items() if name.startswith(("kind", "use", "skeleton"))} == {
        "kind": "imhn",
        "skeleton": "coco",
        "use size": "192",
        "use fit": "longer",
        "use decode": "peak_threshold=0.2",
    }
    assert run(capsys, "info", "nowhere")[0] == 2


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], (192, "longer", 0.2, 0.1)),
        (["--size", "64", "--fit", "height"], (64, "height", 0.2, 0.1)),
        (["--set", "part_threshold=0.3"], (192, "longer", 0.2, 0.3)),
        (["--set", "peak_threshold=0.3"], (192, "longer", 0.3, 0.1)),
        (["--paper"], (192, "longer", 0.1, 0.1)),
    ],
)
def test_a_checkpoint_brings_defaults_and_options_win(weights_with_use, arguments, expected):
    parser = argparse.ArgumentParser()
    add_predictor_options(parser)
    add_decode_options(parser)
    options = parser.parse_args([*arguments, "--device", "cpu"])
    config = make_predictor(argparse.Namespace(checkpoint=weights_with_use, **vars(options))).config
    found = (config.size, config.fit, config.decode.peak_threshold, config.decode.part_threshold)
    assert found == expected


def test_demo_with_oracle_maps_detects_everyone_and_draws(capsys, tmp_path):
    code, out, _ = run(capsys, "demo", "--oracle", "clean", "--out", tmp_path / "demo.png", "--json")
    (report,) = json.loads(out)["images"]
    assert code == 0
    assert report["people_found"] == report["people_annotated"] >= 3
    assert report["AP"] == pytest.approx(1.0)
    assert cv2.imread(str(tmp_path / "demo.png")).shape[1] > 3 * 500


@pytest.mark.usefixtures("one_thread")
def test_demo_finds_people_in_a_photo_and_in_a_scene(capsys, tmp_path):
    code, out, err = run(capsys, "demo", "--out", tmp_path / "demo.png")
    assert (code, err) == (0, "")
    images, people, last = out.strip().split("\n\n")
    photo, scene = (line.split() for line in images.splitlines()[2:])
    assert photo[:4] == ["astronaut.jpg", "photo", photo[2], "-"]
    assert int(photo[2]) >= 1
    assert scene[:3] == ["synthetic", "scene", "tiny"]
    assert float(scene[-3]) > 0.5  # AP
    assert len(people.splitlines()) == 2 + int(photo[2]) + int(scene[3])
    assert last == f"picture: {tmp_path / 'demo.png'}"
    height, width = cv2.imread(str(tmp_path / "demo.png")).shape[:2]
    assert height > 2 * 500
    assert width > 3 * 500


@pytest.mark.usefixtures("one_thread")
def test_demo_of_an_own_photo_uses_photo(capsys, tmp_path):
    image = cv2.imread(str(PHOTO))[:400]
    cv2.imwrite(str(tmp_path / "own.png"), image)
    code, out, _ = run(capsys, "demo", tmp_path / "own.png", "--out", tmp_path / "demo.png", "--json")
    (report,) = json.loads(out)["images"]
    assert (code, report["image"], report["maps"]) == (0, "own.png", "photo")
    assert report["people_found"] == len(report["people"]) >= 1
    assert "AP" not in report
    assert cv2.imread(str(tmp_path / "demo.png")).shape[1] > 3 * 500
    code, _, err = run(capsys, "demo", tmp_path / "none.png", "--out", tmp_path / "demo.png")
    assert code == 1
    assert "none.png" in err


def test_predict_skips_and_reports_a_damaged_image(capsys, photos, checkpoint, tmp_path):
    (photos / "3.jpg").write_bytes(b"not an image")
    arguments = ["predict", photos, "--checkpoint", checkpoint, "--out", tmp_path / "out", "--draw", "--heatmaps"]
    code, out, err = run(capsys, *arguments, "--json")
    report = json.loads(out)
    assert code == 1
    assert [image["file_name"] for image in report["images"]] == [str(photos / "1.jpg"), str(photos / "2.jpg")]
    assert list(report["failed"]) == [str(photos / "3.jpg")]
    assert "1 of 3 inputs were skipped" in err
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        ".simplepose",
        "1.jpg",
        "2.jpg",
        "images.json",
        "results.json",
    ]


def test_predict_never_replaces_its_input(capsys, photos, checkpoint):
    before = (photos / "1.jpg").read_bytes()
    code, _, err = run(capsys, "predict", photos, "--checkpoint", checkpoint, "--out", photos, "--draw")
    assert code == 2
    assert "would replace an input" in err
    assert (photos / "1.jpg").read_bytes() == before
    assert sorted(p.name for p in photos.iterdir()) == ["1.jpg", "2.jpg"]


def test_evaluate_measures_a_checkpoint_and_the_decoder(capsys, checkpoint, tmp_path):
    data = tmp_path / "data"
    run(capsys, "synth", data, "--images", "3", "--seed", "3", "--size", "128")
    annotations = data / "annotations.json"
    arguments = ["evaluate", checkpoint, "--images", data / "images", "--annotations", annotations, "--json"]
    code, out, _ = run(capsys, *arguments, "--out", tmp_path / "results.json")
    report = json.loads(out)
    assert code == 0
    assert report["images"] == 3
    assert {"AP", "AP50", "AP75", "APM", "APL", "AR", "seconds", "command"} <= report.keys()
    assert isinstance(json.loads((tmp_path / "results.json").read_text()), list)
    content = json.loads(annotations.read_text())
    for entry in (*content["categories"], *content["annotations"]):
        entry["id" if "supercategory" in entry else "category_id"] = 5
    annotations.write_text(json.dumps(content))
    code, out, _ = run(capsys, "evaluate", "--oracle", "clean", "--annotations", annotations, "--json")
    assert code == 0
    assert json.loads(out)["AP"] > 0.9  # with a category id other than 1


def test_evaluate_decodes_stored_maps(capsys, tmp_path):
    data = tmp_path / "data"
    run(capsys, "synth", data, "--images", "3", "--seed", "3", "--size", "128")
    annotations = read_annotations(data / "annotations.json")
    render = oracle.annotation_maps(annotations, noisy=False)
    np.savez(tmp_path / "maps.npz", maps=np.stack([render(i) for i in (1, 2, 3)]), image_ids=[1, 2, 3])
    arguments = ["evaluate", "--annotations", annotations.path, "--json"]
    code, out, _ = run(capsys, *arguments, "--maps", tmp_path / "maps.npz", "--backend", "reference")
    stored = json.loads(out)
    assert (code, stored["images"]) == (0, 3)
    expected = json.loads(run(capsys, *arguments, "--oracle", "clean", "--ids", "1", "2", "3")[1])
    assert stored["AP"] == expected["AP"] > 0.9
    code, _, err = run(capsys, *arguments, "--maps", tmp_path / "maps.npz", "--oracle", "clean")
    assert (code, "--maps: expected none with --oracle" in err) == (2, True)


def test_predict_reads_and_writes_video(capsys, checkpoint, tmp_path):
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (96, 64))
    for value in (0, 100, 200):
        writer.write(np.full((64, 96, 3), value, np.uint8))
    writer.release()
    code, out, _ = run(capsys, "predict", path, "--checkpoint", checkpoint, "--out", tmp_path / "o", "--draw", "--json")
    assert code == 0
    assert len(json.loads(out)["images"]) == 3
    capture = cv2.VideoCapture(str(tmp_path / "o" / "clip_poses.mp4"))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 3
    capture.release()
    names = [".simplepose", "clip_poses.mp4", "images.json", "results.json"]
    assert sorted(p.name for p in (tmp_path / "o").iterdir()) == names


def test_predict_shows_a_camera_until_q(capsys, checkpoint, monkeypatch):
    shown = []

    class Camera:
        def __init__(self, number):
            self.number = number

        def isOpened(self):
            return self.number == 0

        def read(self):
            return True, np.zeros((64, 96, 3), np.uint8)

        def release(self):
            shown.append("released")

    monkeypatch.setattr(cv2, "VideoCapture", Camera)
    monkeypatch.setattr(cv2, "imshow", lambda title, image: shown.append(image.shape))
    monkeypatch.setattr(cv2, "waitKey", lambda _: ord("q") if len(shown) == 2 else -1)
    assert run(capsys, "predict", "0", "--checkpoint", checkpoint)[0] == 0
    assert shown == [(64, 96, 3), (64, 96, 3), "released"]
    code, _, err = run(capsys, "predict", "1", "--checkpoint", checkpoint)
    assert code == 1
    assert "camera 1: OpenCV cannot open it" in err


def test_predict_on_an_empty_folder_gives_exit_code_1(capsys, checkpoint, tmp_path):
    code, _, err = run(capsys, "predict", tmp_path, "--checkpoint", checkpoint)
    assert code == 1
    assert "holds no images" in err


def test_bench_measures_photo_by_default(capsys, monkeypatch):
    predictors = []
    stop = RuntimeError("stop before the measurement")

    def record(predictor, image, rounds):
        predictors.append(predictor)
        raise stop

    monkeypatch.setattr(bench, "time_stages", record)
    assert run(capsys, "bench")[0] == 1
    assert predictors[0].model.config == ModelConfig.preset("photo")
    assert (predictors[0].size, predictors[0].config.fit) == (576, "longer")


def test_bench_prints_every_stage(capsys, checkpoint):
    code, out, _ = run(capsys, "bench", "--checkpoint", checkpoint, "--rounds", "2", "--json")
    assert code == 0
    report = json.loads(out)
    stages = report["stages_ms"]
    assert {"read", "network only", "find_peaks", "match_parts", "assign_keypoints", "draw"} <= stages.keys()
    assert all(0 < row["p50"] <= row["p95"] for row in stages.values())
    assert list(report["decode_only_by_people"]) == [f"{n} people" for n in (1, 5, 10, 20, 30)]
    assert report["network_only_by_batch"].keys() == report["decode_only_by_batch"].keys()


def test_synth_writes_a_data_set(capsys, tmp_path):
    code, out, _ = run(capsys, "synth", tmp_path / "data", "--images", "2", "--seed", "3", "--size", "128", "--json")
    assert code == 0
    assert json.loads(out)["images"] == 2
    assert len(list((tmp_path / "data" / "images").iterdir())) == 2


def test_convert_rejects_a_file_that_is_not_a_checkpoint(capsys, tmp_path):
    (tmp_path / "in.pth").write_bytes(b"nothing")
    code, _, err = run(capsys, "convert", tmp_path / "in.pth", tmp_path / "out.safetensors")
    assert code == 1
    assert "in.pth" in err
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.parametrize("world_size", ["1", "2"])
def test_a_process_of_a_distributed_run_prints_all_and_keeps_the_exit_code(world_size, tmp_path):
    environment = {"WORLD_SIZE": world_size}
    done = run_python("-m", "simplepose", "info", "--json", environment=environment)
    assert (done.returncode, json.loads(done.stdout)["native"]) == (0, True)
    done = run_python("-m", "simplepose", "decode", tmp_path / "missing.npz", environment=environment)
    assert done.returncode == 1
    assert "missing.npz" in done.stderr


@pytest.mark.parametrize(
    "error", [KeyError("x"), AssertionError(), TypeError("bad"), IndexError("i"), ZeroDivisionError()]
)
def test_an_unexpected_exception_says_that_it_is_a_bug(capsys, monkeypatch, error):
    def fail(options):
        raise error

    monkeypatch.setattr("simplepose.cli.info.run", fail)
    code, out, err = run(capsys, "info", "--json")
    assert (code, out) == (1, "")
    assert "Traceback (most recent call last)" in err
    assert type(error).__name__ in err
    assert err.splitlines()[-1].startswith("simplepose info: error: this is a bug in simplepose; please open an issue")
