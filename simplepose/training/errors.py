"""How a training run ends when it cannot go on: the reason, what can be done, and where it can be taken up."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from simplepose.training.config import TrainConfig
from simplepose.training.state import WEIGHTS, checkpoints

FROM_WORKER = "in DataLoader worker process"
LOST_WORKER = "DataLoader worker (pid"
"""What PyTorch says of errors in the processes that read samples, and of such a process that is gone."""

NOTHING_YET = "there is no checkpoint yet"


class TrainError(RuntimeError):
    """The run cannot go on; the message says why and from where it can be taken up."""


@contextmanager
def explained(run: Path, config: TrainConfig) -> Iterator[None]:
    """Errors that end a run, with what can be done about them."""
    try:
        yield
    except TrainError as error:
        raise TrainError(f"{error}; {_where_to_start_from(run)}") from None
    except (OSError, ValueError) as error:
        if FROM_WORKER in str(error):  # its last line is the error itself, behind the name of its type
            reason = str(error).strip().splitlines()[-1].partition(": ")[2]
            raise ValueError(f"{reason}; {_where_to_go_on(run)}") from None
        if isinstance(error, ValueError) or error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise OSError(error.errno, f"{error.strerror}; {_where_to_go_on(run)}", error.filename) from None
    except (RuntimeError, MemoryError) as error:
        if LOST_WORKER in str(error):
            raise TrainError(
                f"a process that reads samples was ended from outside, most likely for want of memory; lower workers "
                f"(now {config.workers}); {_where_to_go_on(run)}"
            ) from error
        if not _out_of_memory(error):
            raise
        passes = config.batch // config.accumulate
        raise TrainError(
            f"out of memory with {passes} samples of {config.size} x {config.size} pixels at once; raise accumulate "
            f"(now {config.accumulate}), lower batch ({config.batch}) or use precision=bfloat16; "
            f"{_where_to_start_from(run)}"
        ) from error


def _out_of_memory(error: Exception) -> bool:
    text = str(error)
    named = "out of memory" in text or "can't allocate memory" in text
    return isinstance(error, MemoryError | torch.cuda.OutOfMemoryError) or named


def _where_to_start_from(run: Path) -> str:
    """Where the settings must change: a run keeps its own."""
    good = checkpoints(run)
    if not good:
        return NOTHING_YET
    return f"the last good checkpoint is {good[-1]}; a new run can start from it with --init {good[-1] / WEIGHTS}"


def _where_to_go_on(run: Path) -> str:
    good = checkpoints(run)
    if not good:
        return NOTHING_YET
    return f"the last good checkpoint is {good[-1]}; go on with simplepose train --resume {run}"
