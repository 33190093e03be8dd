"""The folder of a training run: taken once, never overwritten, and read again to go on with the run."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from simplepose.io.atomic import write_json
from simplepose.skeleton.skeleton import Skeleton
from simplepose.training.config import WHERE, TrainConfig
from simplepose.training.state import remove_leftovers

CONFIG = "config.json"


def take_folder(run: Path, config: TrainConfig, skeleton: Skeleton, resume: bool) -> None:
    """Make the run's folder, or check that it is the one of this run."""
    if resume:
        known, learned = read_run(run)
        here = replace(config, **{name: getattr(known, name) for name in WHERE})
        if here != known:
            raise ValueError(f"resume: {run} has other settings ({'; '.join(known.differences(here))})")
        if learned != skeleton:
            raise ValueError(f"resume: {run} learns skeleton {learned.name!r}, not {skeleton.name!r}")
        remove_leftovers(run)
        return
    if run.exists() and (not run.is_dir() or any(run.iterdir())):
        raise FileExistsError(f"out: {run} has content; choose a new folder, or go on with --resume {run}")
    write_json(run / CONFIG, {"format_version": 1, "config": config.to_dict(), "skeleton": skeleton.to_dict()})


def leave_nothing(run: Path) -> None:
    """Take back what a run that did not begin has written; the folder was new or empty."""
    for path in run.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()
    with suppress(OSError):  # the present folder, a link, a mount
        run.rmdir()


def read_run(run: str | Path) -> tuple[TrainConfig, Skeleton]:
    """The settings and the skeleton of a run.

    Raises:
        FileNotFoundError: there is no run in that folder.
        ValueError: its config.json is not one.
    """
    path = Path(run) / CONFIG
    if not path.is_file():
        raise FileNotFoundError(f"resume: there is no run in {run} ({path} is missing)")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return TrainConfig.from_dict(data["config"]), Skeleton.from_dict(data["skeleton"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{path}: not the settings of a training run ({error})") from None
