"""Errors that end a training run: the cause, a remedy, and the checkpoint to continue from."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from simplepose.training.config import TrainConfig
from simplepose.training.state import WEIGHTS, list_checkpoints

WORKER_ERROR = "in DataLoader worker process"
WORKER_KILLED = "DataLoader worker (pid"
"""Substrings of PyTorch's messages: an exception in a DataLoader worker, and a worker that was killed."""

NO_CHECKPOINT = "there is no checkpoint yet"


class TrainError(RuntimeError):
    """A run that cannot continue; the message gives the cause and the last good checkpoint."""


@contextmanager
def explain_errors(run: Path, config: TrainConfig) -> Iterator[None]:
    """Add a remedy and the last good checkpoint to the errors that end a run.

    Raises:
        TrainError: memory ran out, a DataLoader worker was killed, or the loss is not finite.
        ValueError, OSError: the original error with the checkpoint appended; others pass unchanged.
    """
    try:
        yield
    except TrainError as error:
        raise TrainError(f"{error}; {_how_to_restart(run)}") from None
    except (OSError, ValueError) as error:
        if WORKER_ERROR in str(error):  # the last line of the traceback is "TypeName: message"
            reason = str(error).strip().splitlines()[-1].partition(": ")[2]
            raise ValueError(f"{reason}; {_how_to_resume(run)}") from None
        if isinstance(error, ValueError) or error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise OSError(error.errno, f"{error.strerror}; {_how_to_resume(run)}", error.filename) from None
    except (RuntimeError, MemoryError) as error:
        if WORKER_KILLED in str(error):
            raise TrainError(
                f"a DataLoader worker was killed, most likely because memory ran out; lower workers "
                f"(now {config.workers}); {_how_to_resume(run)}"
            ) from error
        if not _out_of_memory(error):
            raise
        passes = config.batch // config.accumulate
        size = max(config.sizes, default=config.size)
        raise TrainError(
            f"out of memory with {passes} samples of {size} x {size} pixels at once; raise accumulate "
            f"(now {config.accumulate}), lower batch ({config.batch}) or use precision=bfloat16; "
            f"{_how_to_restart(run)}"
        ) from error


def _out_of_memory(error: Exception) -> bool:
    text = str(error)
    named = "out of memory" in text or "can't allocate memory" in text
    return isinstance(error, MemoryError | torch.cuda.OutOfMemoryError) or named


def _how_to_restart(run: Path) -> str:
    """For errors that need other settings: a resumed run keeps its settings, a new run may change them."""
    saved = list_checkpoints(run)
    if not saved:
        return NO_CHECKPOINT
    return f"the last good checkpoint is {saved[-1]}; a new run can start from it with --init {saved[-1] / WEIGHTS}"


def _how_to_resume(run: Path) -> str:
    saved = list_checkpoints(run)
    if not saved:
        return NO_CHECKPOINT
    return f"the last good checkpoint is {saved[-1]}; continue with simplepose train --resume {run}"
