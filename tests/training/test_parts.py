"""Units of training: the device of a process, BatchNorm statistics after an overflow, the log."""

import torch
from helpers.train_cases import QUICK

from simplepose.network.imhn import IMHN
from simplepose.training import distributed
from simplepose.training.log import TrainLog, read_log
from simplepose.training.state import reset_nonfinite_buffers


def test_a_cuda_device_without_a_number_gets_one(monkeypatch):
    used = []
    monkeypatch.setattr(distributed, "find_device", torch.device)
    monkeypatch.setattr(torch.cuda, "set_device", used.append)
    with distributed.join_processes("cuda") as process:
        assert process.device == torch.device("cuda", 0)
    assert used == [torch.device("cuda", 0)]


def test_nonfinite_statistics_are_replaced_by_those_of_the_ema_model():
    model, ema_model = (IMHN(QUICK.model) for _ in range(2))
    norm, ema_norm = (
        next(m for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)) for net in (model, ema_model)
    )
    assert norm.running_var is not None
    assert ema_norm.running_var is not None
    norm.running_var.fill_(torch.nan)
    ema_norm.running_var.fill_(3)
    reset_nonfinite_buffers(model, ema_model)
    assert bool((norm.running_var == 3).all())
    assert bool((model.stem.widen.reduce.norm.running_var == 1).all()), "finite statistics stay"


def test_nonfinite_values_are_null_in_the_log(tmp_path):
    with TrainLog(tmp_path, 0, 2) as log:
        log.log_steps(1, 8, loss=float("inf"), gradient_norm=float("nan"))
        log.log_steps(2, 8, loss=2.0, gradient_norm=1.0)
    assert [r["loss"] for r in read_log(tmp_path)] == [None, 2.0]
    assert "NaN" not in (tmp_path / "log.jsonl").read_text()
