"""Small parts of training: the device of a process, the state of a network, the log."""

import torch
from helpers.train_cases import QUICK

from simplepose.network.imhn import IMHN
from simplepose.training import distributed as train_process
from simplepose.training.log import TrainLog, read_log
from simplepose.training.state import heal_buffers


def test_a_cuda_device_without_a_number_gets_one(monkeypatch):
    used = []
    monkeypatch.setattr(train_process, "find_device", torch.device)
    monkeypatch.setattr(torch.cuda, "set_device", used.append)
    with train_process.join_processes("cuda") as process:
        assert process.device == torch.device("cuda", 0)
    assert used == [torch.device("cuda", 0)]


def test_statistics_that_overflow_become_the_averaged_ones():
    model, averaged = (IMHN(QUICK.model) for _ in range(2))
    norm, good = (next(m for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)) for net in (model, averaged))
    assert norm.running_var is not None
    assert good.running_var is not None
    norm.running_var.fill_(torch.nan)
    good.running_var.fill_(3)
    heal_buffers(model, averaged)
    assert bool((norm.running_var == 3).all())
    assert bool((model.stem.widen.reduce.norm.running_var == 1).all()), "good ones stay"


def test_what_is_not_finite_is_null_in_the_log(tmp_path):
    with TrainLog(tmp_path, 0, 2) as log:
        log.steps(1, 8, loss=float("inf"), gradient_norm=float("nan"))
        log.steps(2, 8, loss=2.0, gradient_norm=1.0)
    assert [r["loss"] for r in read_log(tmp_path)] == [None, 2.0]
    assert "NaN" not in (tmp_path / "log.jsonl").read_text()
