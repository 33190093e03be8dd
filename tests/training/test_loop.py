"""Training: it overfits, resumes bit by bit after every kind of interruption, and reports errors."""

import json
import shutil
import signal
from dataclasses import replace
from itertools import chain

import cv2
import pytest
import torch
from helpers.processes import run_python
from helpers.train_cases import QUICK, weights

from simplepose.cli.main import main
from simplepose.data.augment import AugmentConfig
from simplepose.network.checkpoint import load_checkpoint, load_model
from simplepose.synth.dataset import write_dataset
from simplepose.synth.scene import SynthConfig
from simplepose.training.config import PRESETS, TrainConfig
from simplepose.training.curves import has_matplotlib
from simplepose.training.data import BatchSampler
from simplepose.training.distributed import Process
from simplepose.training.errors import TrainError, explain_errors
from simplepose.training.log import read_log
from simplepose.training.loop import train
from simplepose.training.run_folder import read_run
from simplepose.training.state import list_checkpoints

SINGLE_PROCESS = Process(0, 1, torch.device("cpu"))

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """A data set of twelve synthetic images of 64 x 64 pixels."""
    out = tmp_path_factory.mktemp("people") / "data"
    config = SynthConfig(size=64, people=(1, 2), person_size=(30.0, 60.0), unlabeled=0.0, crowds=0.0)
    write_dataset(out, 12, 5, config, progress=False)
    return out


@pytest.fixture(scope="module")
def uninterrupted(people, tmp_path_factory):
    """A run of six steps without interruption."""
    run = tmp_path_factory.mktemp("uninterrupted") / "run"
    train(replace(QUICK, data=str(people)), run)
    return run


def assert_same_bits(run, other):
    actual, expected = weights(run), weights(other)
    assert actual.keys() == expected.keys()
    assert [name for name in actual if not torch.equal(actual[name], expected[name])] == []


def losses(run):
    return [(r["step"], r["loss"]) for r in read_log(run) if "loss" in r]


def run_script(code, *arguments, **environment):
    """Run Python code in a process of its own, which the code may kill."""
    return run_python("-c", code, *arguments, environment=environment)


def test_eight_images_are_overfitted(tmp_path):
    """End to end: data, targets, loss, network, decoding and evaluation."""
    run = tmp_path / "run"
    report = train(TrainConfig.preset("overfit", data="synth:8,0"), run)
    # seeds 0, 1, 2: AP 0.931, 0.943, 0.957, AP50 1.000 each
    assert report.metrics["AP50"] >= 0.9
    assert report.metrics["AP"] >= 0.7
    assert report.metrics["AP_of"] == "8 training images"
    assert load_model(run / "best.safetensors").config == PRESETS["overfit"].model
    assert (run / "curves.png").exists() == has_matplotlib()
    assert len(list((run / "pictures").iterdir())) == len([r for r in read_log(run) if "AP" in r])


KILL_AT_STEP = """
import os, signal, sys
from torch.optim.optimizer import register_optimizer_step_post_hook
from simplepose.training.loop import train
from simplepose.training.config import TrainConfig
left = int(sys.argv[2])
def count(*_):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
register_optimizer_step_post_hook(count)
config = TrainConfig.from_dict(__import__("json").loads(sys.argv[3]))
train(config, sys.argv[1], device="cpu", resume=os.path.exists(sys.argv[1]))
"""

KILL_IN_WRITE = """
import os, signal, sys
from pathlib import Path
from simplepose.training.loop import train
from simplepose.training.config import TrainConfig
part, left = sys.argv[4], int(sys.argv[2])
write, replace = Path.write_bytes, os.replace
def dying_write(path, data):
    global left
    left -= part in path.name
    if left == 0:
        write(path, data[: len(data) // 2])
        os.kill(os.getpid(), signal.SIGKILL)
    return write(path, data)
def dying_replace(old, new):
    global left
    left -= part == Path(new).name or (part == "rename" and "step-" in str(new) and Path(old).is_dir())
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return replace(old, new)
Path.write_bytes, os.replace = dying_write, dying_replace
train(TrainConfig.from_dict(__import__("json").loads(sys.argv[3])), sys.argv[1], device="cpu")
"""


@pytest.mark.parametrize("step", [1, 5])
def test_killed_at_a_step_and_resumed_gives_the_same_bits(people, uninterrupted, tmp_path, step):
    """Before the first checkpoint, and in the middle of the second epoch."""
    config = replace(QUICK, data=str(people))
    result = run_script(KILL_AT_STEP, tmp_path / "run", step, json.dumps(config.to_dict()))
    assert result.returncode == -signal.SIGKILL, result.stderr
    train(config, tmp_path / "run", resume=True)
    assert_same_bits(tmp_path / "run", uninterrupted)
    assert losses(tmp_path / "run") == losses(uninterrupted)


@pytest.mark.parametrize("workers", [0, 1])
def test_stopped_at_a_step_and_resumed_gives_the_same_bits(people, uninterrupted, tmp_path, workers):
    config = replace(QUICK, data=str(people), workers=workers)
    for stop, reached in ((1, 1), (1, 1), (5, 5), (None, 6)):
        assert train(config, tmp_path / "run", resume=(tmp_path / "run").exists(), stop_step=stop).steps == reached
    assert_same_bits(tmp_path / "run", uninterrupted)
    assert losses(tmp_path / "run") == losses(uninterrupted)


@pytest.mark.parametrize(("part", "time"), [("training", 2), ("rename", 1)])
def test_killed_while_it_writes_a_checkpoint_and_resumed_gives_the_same_bits(
    people, uninterrupted, tmp_path, part, time
):
    config, run = replace(QUICK, data=str(people)), tmp_path / "run"
    result = run_script(KILL_IN_WRITE, run, time, json.dumps(config.to_dict()), part)
    assert result.returncode == -signal.SIGKILL, result.stderr
    assert len(list_checkpoints(run)) == time - 1
    assert list((run / "checkpoints").glob(".*")), "the kill left no incomplete checkpoint"
    train(config, run, resume=True)
    assert_same_bits(run, uninterrupted)
    assert not list(run.rglob(".*"))


@pytest.mark.parametrize(("name", "time"), [("last.safetensors", 4), ("best.safetensors", 1)])
def test_killed_before_weights_are_published_and_resumed_publishes_them(people, uninterrupted, tmp_path, name, time):
    """The last weights after all steps, the best ones in the middle of the run."""
    config, run = replace(QUICK, data=str(people)), tmp_path / "run"
    result = run_script(KILL_IN_WRITE, run, time, json.dumps(config.to_dict()), name)
    assert result.returncode == -signal.SIGKILL, result.stderr
    expected = (uninterrupted / name).read_bytes()
    assert not (run / name).exists() or (run / name).read_bytes() != expected
    train(config, run, resume=True)
    assert (run / name).read_bytes() == expected


def test_old_checkpoints_are_removed(uninterrupted):
    assert [path.name for path in list_checkpoints(uninterrupted)] == ["step-00000004", "step-00000006"]


def test_a_resumed_run_needs_its_data_but_not_its_initial_checkpoint(people, uninterrupted, tmp_path):
    source = tmp_path / "source.safetensors"
    source.write_bytes((uninterrupted / "last.safetensors").read_bytes())
    config, run = replace(QUICK, data=str(people), init=str(source), epochs=1), tmp_path / "run"
    train(config, run, stop_step=1)
    source.unlink()
    data = json.loads((people / "annotations.json").read_text())
    data["images"] = data["images"][:8]
    data["annotations"] = [a for a in data["annotations"] if a["image_id"] <= 8]
    (tmp_path / "fewer.json").write_text(json.dumps(data))
    with pytest.raises(ValueError, match="data: expected 12 samples, as when the run started, got 8"):
        train(replace(config, data=str(tmp_path / "fewer.json"), images=str(people / "images")), run, resume=True)
    assert train(config, run, resume=True).steps == 3


def test_two_processes_train_as_one(people, tmp_path):
    """With frozen BatchNorm: statistics of half a batch differ, and SyncBatchNorm needs CUDA."""
    config = replace(QUICK, data=str(people), norm="frozen", optimizer="sgd", epochs=2, checkpoint_steps=100)
    one = train(config, tmp_path / "one")
    options = ["--preset", "overfit", "--data", str(people), "--device", "cpu", "--out", str(tmp_path / "two")]
    options += ["--set", *_as_options(config, TrainConfig.preset("overfit"))]
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "simplepose", "train"]
    result = run_python(*torchrun, *options)
    assert result.returncode == 0, result.stderr
    assert read_run(tmp_path / "two")[0] == config
    single, distributed = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert [s for s, _ in single] == [s for s, _ in distributed] == list(range(1, 7))
    assert [v for _, v in distributed] == pytest.approx([v for _, v in single], rel=1e-4)
    assert one.metrics == {k: v for k, v in read_log(tmp_path / "two")[-1].items() if k in one.metrics}


def _as_options(config, base):
    def flat(data, prefix=""):
        for name, value in data.items():
            yield from flat(value, f"{name}.") if isinstance(value, dict) else [(prefix + name, value)]

    defaults = dict(flat(base.to_dict()))
    return [f"{n}={json.dumps(v)}" for n, v in flat(config.to_dict()) if defaults[n] != v and n != "data"]


def test_gradient_accumulation_gives_the_step_of_the_whole_batch(people, tmp_path):
    config = replace(QUICK, data=str(people), norm="frozen", optimizer="sgd", momentum=0.5, epochs=1)
    train(config, tmp_path / "whole")
    train(replace(config, accumulate=2), tmp_path / "parts")
    whole, parts = losses(tmp_path / "whole"), losses(tmp_path / "parts")
    assert [v for _, v in parts] == pytest.approx([v for _, v in whole], rel=1e-5)


def test_a_step_has_the_same_samples_for_any_number_of_processes_and_passes():
    config = replace(QUICK, batch=8)
    whole = list(BatchSampler(20, config, SINGLE_PROCESS))
    per_process = [
        list(BatchSampler(20, replace(config, accumulate=2), Process(rank, 2, SINGLE_PROCESS.device)))
        for rank in range(2)
    ]
    assert [len(b) for b in whole] == [8, 8]
    for step, batch in enumerate(whole):
        parts = [batches[2 * step + part] for batches in per_process for part in range(2)]
        assert [len(p) for p in parts] == [2] * 4
        assert sorted(chain(*parts)) == sorted(batch)
    with pytest.raises(ValueError, match=r"batch: expected a multiple of accumulate x processes = 1 x 3, got 8"):
        BatchSampler(20, config, Process(0, 3, SINGLE_PROCESS.device))


def test_bfloat16_trains_with_finite_gradients_on_the_cpu(people, tmp_path):
    report = train(replace(QUICK, data=str(people), precision="bfloat16", epochs=1), tmp_path / "run")
    assert report.steps == 3
    exact = replace(QUICK, data=str(people), epochs=1)
    train(exact, tmp_path / "exact")
    half, full = losses(tmp_path / "run"), losses(tmp_path / "exact")
    assert half != full
    assert [v for _, v in half] == pytest.approx([v for _, v in full], rel=0.02)


def test_a_nonfinite_loss_stops_the_run_and_names_the_last_good_checkpoint(people, tmp_path):
    config = replace(QUICK, data=str(people), epochs=4, lr=1e3, warmup_steps=0, clip=0.0, optimizer="sgd")
    with pytest.raises(
        TrainError, match=r"step \d+: the loss .* not finite; .* (no checkpoint yet|--init .*model.safetensors)"
    ):
        train(config, tmp_path / "run")
    for path in list_checkpoints(tmp_path / "run"):
        state = load_checkpoint(path / "model.safetensors").state
        assert all(bool(t.isfinite().all()) for t in state.values() if t.is_floating_point())


def test_training_on_main_persons(people, tmp_path):
    """The paper's augmentation: one person in the center, rotated, scaled, shifted and mirrored."""
    config = replace(QUICK, data=str(people), augment=AugmentConfig(shift=8, min_area=100.0))
    assert train(config, tmp_path / "run", stop_step=2).steps == 2
    assert len(losses(tmp_path / "run")) == 2


def test_without_decay_the_ema_weights_are_the_weights(people, tmp_path):
    train(replace(QUICK, data=str(people), ema=0.0, epochs=1), tmp_path / "run")
    found = weights(tmp_path / "run")
    assert all(torch.equal(t, found["ema" + n.removeprefix("model")]) for n, t in found.items() if n[0] == "m")


# --- errors ---


def command(*arguments):
    try:
        return main(["train", *map(str, arguments)])
    except SystemExit as error:
        return error.code


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        (["--preset", "huge"], 2, "preset: expected one of imhn3-384"),
        (["--set", "batch=0"], 2, "batch: expected at least 1, got 0"),
        (["--set", "model.size=3"], 2, "settings: there is no 'model.size'"),
        (["--set", "precision=float16"], 1, "precision: expected float32 or bfloat16 on the CPU"),
        (["--set", "batch=500"], 1, "batch: expected at most 12, the number of samples, got 500"),
        (["--data", "nowhere"], 1, "nowhere: no such annotation file or data folder"),
        (["--data", "synth:many"], 1, "data: expected synth:IMAGES,SEED such as synth:1000,1"),
        (["--init", "nowhere.safetensors"], 1, "no file 'nowhere.safetensors'"),
    ],
)
def test_invalid_arguments_are_rejected_before_anything_is_written(people, tmp_path, capsys, change, code, message):
    base = ["--preset", "overfit", "--data", people, "--out", tmp_path / "run", "--device", "cpu"]
    assert command(*base, *change) == code
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_missing_images_and_empty_data_are_rejected_before_anything_is_written(people, tmp_path, capsys):
    data = json.loads((people / "annotations.json").read_text())
    (tmp_path / "images").mkdir()
    for name, changes, message in (
        ("missing", {}, "12 of the 12 images"),
        ("empty", {"images": [], "annotations": []}, "no person to train on in 0 images"),
    ):
        (tmp_path / f"{name}.json").write_text(json.dumps({**data, **changes}))
        base = ["--preset", "overfit", "--images", tmp_path / "images", "--out", tmp_path / "run"]
        assert command(*base, "--data", tmp_path / f"{name}.json", "--device", "cpu") == 1
        assert message in capsys.readouterr().err
        assert not (tmp_path / "run").exists()


def test_a_run_is_never_overwritten_and_keeps_its_settings(people, uninterrupted, capsys):
    before = weights(uninterrupted)
    assert command("--preset", "overfit", "--data", people, "--out", uninterrupted) == 1
    assert "has content; choose a new folder, or continue with --resume" in capsys.readouterr().err
    assert command("--resume", uninterrupted, "--set", "lr=5") == 2
    assert "a run keeps its settings; changed here: lr: 0.001, 5" in capsys.readouterr().err
    with pytest.raises(ValueError, match=r"resume: .* has other settings \(seed: 0, 4\)"):
        train(replace(QUICK, data=str(people), seed=4), uninterrupted, resume=True)
    assert command("--resume", uninterrupted.parent) == 1
    assert "resume: there is no run in" in capsys.readouterr().err
    assert command("--resume", uninterrupted, "--json") == 0, "a finished run has no steps left"
    report = json.loads(capsys.readouterr().out)
    assert (report["steps"], report["warnings"]) == (6, [])
    after = weights(uninterrupted)
    assert all(torch.equal(before[name], after[name]) for name in before)


FULL_DISK = """
import json, resource, sys
from simplepose.training.loop import train
from simplepose.training.config import TrainConfig
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
train(TrainConfig.from_dict(json.loads(sys.argv[2])), sys.argv[1], device="cpu")
"""


def test_a_full_disk_is_reported_and_leaves_no_partial_file(people, tmp_path):
    """A limit on the file size simulates a full disk: the kernel rejects the write halfway."""
    config = replace(QUICK, data=str(people))
    result = run_script(FULL_DISK, tmp_path / "run", json.dumps(config.to_dict()))
    assert result.returncode == 1
    assert "OSError" in result.stderr.splitlines()[-1]
    assert "there is no checkpoint yet" in result.stderr.splitlines()[-1]
    assert not list((tmp_path).rglob("*.tmp"))


def test_out_of_memory_names_the_settings_to_change(tmp_path):
    config = replace(QUICK, batch=8, accumulate=2)
    with (
        pytest.raises(TrainError, match=r"out of memory with 4 samples of 64 x 64 pixels at once; raise accumulate"),
        explain_errors(tmp_path, config),
    ):
        torch.empty(2**59)


@pytest.mark.parametrize("workers", [0, 1])
def test_only_a_broken_image_is_named(people, tmp_path, capsys, workers):
    data = tmp_path / "data"
    shutil.copytree(people, data)
    broken = data / "images" / "0000003.jpg"
    broken.write_bytes(broken.read_bytes()[:200])
    options = ["--set", *_as_options(replace(QUICK, workers=workers), TrainConfig.preset("overfit"))]
    base = ["--preset", "overfit", "--data", data, "--out", tmp_path / "run", "--device", "cpu"]
    assert command(*base, *options) == 1
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith(f"simplepose train: error: {broken}: cannot be read (")
    assert "): it is cut short" in last
    assert "Traceback" not in last


def test_a_missing_image_without_people_is_reported_before_training(people, tmp_path, capsys):
    data = json.loads((people / "annotations.json").read_text())
    data["images"].insert(0, {"id": 99, "file_name": "empty.jpg", "height": 64, "width": 64})
    (tmp_path / "more.json").write_text(json.dumps(data))
    base = ["--preset", "overfit", "--data", tmp_path / "more.json", "--images", people / "images"]
    assert command(*base, "--out", tmp_path / "run", "--device", "cpu") == 1
    assert "empty.jpg: no such image file; 1 of the 13 images" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


# --- contact sheet ---


def test_inspect_writes_a_contact_sheet(people, tmp_path, capsys):
    out = tmp_path / "sheet.png"
    assert main(["inspect", str(people), "--out", str(out), "--count", "2", "--size", "64", "--plain", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["samples"] == 12
    assert cv2.imread(str(out)).shape[1] == 4 * 320
    for change, code, message in (
        (["--out", str(tmp_path / "sheet.foo")], 1, "sheet.foo: cannot write '.foo' of "),
        (["--first", "-1"], 2, "first: expected 0 to"),
        (["--count", "0"], 2, "count: expected 1 to"),
    ):
        try:
            found = main(["inspect", str(people), "--size", "64", *change])
        except SystemExit as error:
            found = error.code
        assert found == code
        assert message in capsys.readouterr().err
