"""Bulk prediction from the command line: the same rows by every launcher, restarts, refused settings, exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest
from helpers.bulk_cases import FaultyJob, job_of, people, write_tar
from helpers.processes import PATHS

from simplepose.bulk.local import local_devices, run_local
from simplepose.bulk.manifest import MANIFEST
from simplepose.bulk.shards import Shard, find_shards
from simplepose.cli.main import main
from simplepose.io.parquet import read_counts, read_rows

parquet = pytest.importorskip("pyarrow.parquet")
pytestmark = pytest.mark.usefixtures("one_thread")

INPUTS = ["0.tar", "1.tar", "images"]
ARGUMENTS = [*INPUTS, "--checkpoint", "tiny", "--size", "96", "--shard-images", "3", "--device", "cpu", "--batch", "2"]
IMAGES, ERRORS = 12, 2
"""The images and errors of `make_inputs`: 4 and 3 images of tars and 3 files; a cut tar and a damaged file."""


def make_inputs(folder: Path) -> Path:
    """Two tars, the second cut within its last image, and a folder with a damaged image."""
    write_tar(folder / "0.tar", {f"{i}.jpg": people(i) for i in range(4)})
    whole = write_tar(folder / "1.tar", {f"{i}.jpg": people(i) for i in range(4, 8)}).read_bytes()
    (folder / "1.tar").write_bytes(whole[: whole.index(b"7.jpg") + 600])
    (folder / "images").mkdir()
    for i in range(4):
        (folder / "images" / f"{i}.jpg").write_bytes(people(8 + i) if i != 2 else b"text")
    return folder


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return make_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture(scope="module")
def expected(inputs, tmp_path_factory, one_thread):
    """The parts by name, processed shard by shard in this process."""
    folder = Path.cwd()
    os.chdir(inputs)
    out = tmp_path_factory.mktemp("expected")
    job = job_of(out)
    predictor = job.predictor()
    for shard in find_shards(INPUTS, 3)[0]:
        assert job.run(predictor, shard).counts is not None
    os.chdir(folder)
    parts = tables(out)
    assert sum(rows.count("'score': 0.") for rows in parts.values()) >= 5, "the network finds too few people"
    return parts


def tables(out: Path) -> dict[str, str]:
    """The rows of the parts by name, as text, in which NaN equals NaN."""
    return {path.name: repr(parquet.read_table(path).to_pylist()) for path in out.glob("*.parquet")}


def keys(out: Path) -> list[str]:
    """The images of all parts, one entry for each."""
    return sorted(rows.image for path in out.glob("*.parquet") for rows in read_rows(path))


@pytest.fixture
def there(inputs, monkeypatch):
    monkeypatch.chdir(inputs)
    return inputs


def start(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, PATHS)), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *words], env=environment, cwd=folder, capture_output=True, text=True, check=False, timeout=180
    )


PROCESSES = {
    "local": (["-m", "simplepose"], ["--launcher", "local", "--workers", "2"]),
    "torchrun": (
        ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "simplepose"],
        ["--launcher", "torchrun"],
    ),
    "ray": (["-m", "simplepose"], ["--launcher", "ray", "--workers", "2"]),
}


@pytest.mark.parametrize("launcher", PROCESSES)
def test_every_launcher_writes_the_same_rows(launcher, expected, there, tmp_path):
    if launcher == "ray" and find_spec("ray") is None:
        pytest.skip("ray is not installed")
    out = tmp_path / "out"
    program, options = PROCESSES[launcher]
    done = start(*program, "predict", *ARGUMENTS, *options, "--out", str(out), folder=there)
    assert done.returncode == 1, done.stderr  # some inputs cannot be read
    assert f"{ERRORS} of {IMAGES} images or archives could not be read" in done.stderr, done.stderr
    assert tables(out) == expected
    manifest = json.loads((out / MANIFEST).read_text())
    assert manifest["complete"]
    assert (manifest["counts"]["images"], manifest["counts"]["failed"]) == (IMAGES, ERRORS)
    assert not [name for name in os.listdir(out) if name.endswith(".tmp")]


def in_process(monkeypatch, *words: str, out: Path) -> int:
    """The exit code of a run whose shards are processed in this process."""

    def run_here(job, shards, devices, threads):
        predictor = job.predictor("cpu")
        return [job.run(predictor, shard) for shard in shards]

    monkeypatch.setattr("simplepose.bulk.local.run_local", run_here)
    return main(["predict", *ARGUMENTS, "--launcher", "local", "--out", str(out), *words])


def test_a_second_run_does_what_is_missing(expected, there, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    assert in_process(monkeypatch, out=out) == 1
    removed, kept = sorted(expected)[:2]
    (out / removed).unlink()
    (out / f".{removed}.0123abcd.tmp").write_text("of a killed run")
    before = (out / kept).stat().st_mtime_ns
    capsys.readouterr()
    assert in_process(monkeypatch, "--json", out=out) == 1
    assert json.loads(capsys.readouterr().out)["processed"] == 1
    assert (out / kept).stat().st_mtime_ns == before
    assert tables(out) == expected
    assert not list(out.glob(".*.tmp"))


def test_failed_shards_are_repeated_when_asked(tmp_path, monkeypatch):
    monkeypatch.chdir(make_inputs(tmp_path))
    out = tmp_path / "out"
    assert in_process(monkeypatch, out=out) == 1
    write_tar(tmp_path / "1.tar", {f"{i}.jpg": people(i) for i in range(4)})
    Path("images/2.jpg").write_bytes(people(2))
    assert in_process(monkeypatch, out=out) == 1  # an error stays
    assert in_process(monkeypatch, "--retry-failed", out=out) == 0
    assert len(keys(out)) == len(set(keys(out))) == 12


def test_other_settings_and_inputs_are_refused_by_name(there, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    in_process(monkeypatch, out=out)
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    for words, message in {
        ("--size", "128"): "size: 96 in the manifest, now 128",
        ("--set", "peak_threshold=0.5"): "decode.peak_threshold: 0.1 in the manifest, now 0.5",
        ("--checkpoint", "photo"): "checkpoint_sha256: ",
        ("--shard-images", "4"): "shard_images: 3 in the manifest, now 4",
        ("--flip",): "flip: False in the manifest, now True",
    }.items():
        assert in_process(monkeypatch, *words, out=out) == 2
        assert message in capsys.readouterr().err
    code = main(["predict", *ARGUMENTS[1:], "--launcher", "local", "--out", str(out)])
    assert code == 2
    assert "inputs: they do not contain 0.tar" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == before
    assert in_process(monkeypatch, "--size", "128", "--overwrite", out=out) == 1
    assert json.loads((out / MANIFEST).read_text())["settings"]["size"] == 128
    assert len(keys(out)) == len(set(keys(out))) == IMAGES


def test_only_files_of_bulk_prediction_are_removed(there, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    out.mkdir()
    others = [out / "mine-0123456789ab.parquet", out / "results.json"]
    for path in others:
        path.write_text("mine")
    assert in_process(monkeypatch, "--overwrite", out=out) == 1
    assert [path.read_text() for path in others] == ["mine"] * 2
    others[0].unlink()
    (out / MANIFEST).unlink()
    assert in_process(monkeypatch, out=out) == 2  # with which settings were the parts made?
    assert "manifest.json does not" in capsys.readouterr().err
    (out / MANIFEST).write_text("{}")
    assert in_process(monkeypatch, "--overwrite", out=out) == 2
    assert "is not a manifest of bulk prediction" in capsys.readouterr().err
    assert others[1].read_text() == "mine"


def test_two_runs_do_not_share_a_folder(there, tmp_path, monkeypatch, capsys):
    fcntl = pytest.importorskip("fcntl")
    out = tmp_path / "out"
    in_process(monkeypatch, out=out)
    folder = os.open(out, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    assert in_process(monkeypatch, out=out) == 2
    assert "another run is writing into" in capsys.readouterr().err
    os.close(folder)


def test_a_part_that_cannot_be_written_is_not_done(there, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("simplepose.bulk.job.write_rows", full)
    assert in_process(monkeypatch, "--json", out=out) == 1
    printed = json.loads(capsys.readouterr().out)
    assert not printed["complete"]
    assert len(printed["not_done"]) == 4
    assert all("No space left" in error for error in printed["not_done"].values())
    assert not list(out.glob("*.parquet"))
    assert not list(out.glob(".*.tmp"))


def test_a_killed_worker_is_replaced(there, tmp_path, monkeypatch):
    """A shard is repeated after one kill, and given up after the last attempt; the others are processed."""
    pytest.importorskip("fcntl")
    monkeypatch.setattr("simplepose.bulk.local.ATTEMPTS", 2)
    shards = [Shard("tar", ("0.tar",)), Shard("tar", ("1.tar",)), Shard("images", ("images/0.jpg",))]
    for always in (False, True):
        out = tmp_path / str(always)
        out.mkdir()
        plain = job_of(out)
        job = FaultyJob(**vars(plain), victim="0.tar", always=always)
        results = {result.shard.name: result for result in run_local(job, shards, ["cpu"] * 2, 1)}
        assert len(results) == 3
        assert results["1.tar"].counts == read_counts(out / shards[1].part)
        if always:
            assert results["0.tar"].counts is None
            assert results["0.tar"].error == "2 workers were killed (signal 9) while they processed it"
            assert not (out / shards[0].part).exists()
        else:
            assert results["0.tar"].counts == read_counts(out / shards[0].part)


def test_a_worker_with_an_error_is_replaced(there, tmp_path):
    shards = [Shard("images", (f"images/{i}.jpg",)) for i in (0, 1, 3)]
    job = FaultyJob(**vars(job_of(tmp_path)), wrong="images/0.jpg")
    results = {result.shard.name: result for result in run_local(job, shards, ["cpu"], 1)}
    assert [results[f"images/{i}.jpg"].error for i in (0, 1, 3)] == ["out of order", "", ""]
    assert results["images/3.jpg"].counts.images == 1


def test_workers_and_devices():
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert local_devices("cpu", "torch", None, None) == (["cpu"] * processors, 1)
    assert local_devices("cpu", "torch", 1, 0) == (["cpu"], processors)
    with pytest.raises(ValueError, match="--num-gpus: expected 0 on the CPU, got 1"):
        local_devices("cpu", "torch", None, 1)


def test_workers_of_a_cluster(monkeypatch):
    from simplepose.bulk import ray_cluster

    resources = {"CPU": 8.0, "GPU": 2.0}
    cluster = SimpleNamespace(cluster_resources=lambda: resources)
    monkeypatch.setattr(ray_cluster, "ray", lambda: cluster)
    assert ray_cluster.cluster_workers("auto", None, None) == (2, 1.0)
    assert ray_cluster.cluster_workers("auto", None, 0.5) == (4, 0.5)
    assert ray_cluster.cluster_workers("cpu", None, None) == (8, 0.0)
    assert ray_cluster.cluster_workers("auto", 3, 0) == (3, 0)
    for words, message in {
        ("auto", 3, None): "--num-gpus: 3 workers with 1 GPUs each need more than 2 GPUs",
        ("cpu", 9, None): "--workers: expected at most the 8 CPUs",
        ("cuda", None, 0): "--num-gpus: expected more than 0",
        ("cpu", None, 1): "--num-gpus: 1 workers",
    }.items():
        with pytest.raises(ValueError, match=message):
            ray_cluster.cluster_workers(*words)


def test_gpus_are_shared(monkeypatch):
    import torch

    monkeypatch.setattr("simplepose.bulk.local.find_engine_device", lambda *_: torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert local_devices("auto", "torch", None, None)[0] == ["cuda:0", "cuda:1"]
    assert local_devices("cuda", "torch", None, 0.5)[0] == ["cuda:0", "cuda:0", "cuda:1", "cuda:1"]
    assert local_devices("cuda:1", "torch", 2, None)[0] == ["cuda:1", "cuda:1"]
    for device, workers, share in [("auto", 3, None), ("auto", None, 4), ("cuda", 1, 0), ("cuda:1", None, 1)]:
        with pytest.raises(ValueError, match="--num-gpus"):
            local_devices(device, "torch", workers, share)
