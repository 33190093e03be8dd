"""The folder of a training run: created once, never overwritten, and validated when a run is resumed."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from simplepose.checks import one_line
from simplepose.io.atomic import write_json
from simplepose.io.json_text import parse_json
from simplepose.skeleton.skeleton import Skeleton
from simplepose.training.config import CHANGEABLE_ON_RESUME, TrainConfig
from simplepose.training.state import remove_temporary_files

CONFIG = "config.json"


def prepare_run_folder(run: Path, config: TrainConfig, skeleton: Skeleton, resume: bool) -> None:
    """Create the folder of a new run, or check that an existing folder belongs to the run to resume.

    Raises:
        FileExistsError: a new run's folder has content.
        FileNotFoundError: there is no run to resume.
        ValueError: the run to resume has other settings or another skeleton.
    """
    if resume:
        saved_config, saved_skeleton = read_run(run)
        changeable = {name: getattr(saved_config, name) for name in CHANGEABLE_ON_RESUME}
        if replace(config, **changeable) != saved_config:
            differences = saved_config.differences(replace(config, **changeable))
            raise ValueError(f"resume: {run} has other settings ({'; '.join(differences)})")
        if saved_skeleton != skeleton:
            raise ValueError(f"resume: {run} trains skeleton {saved_skeleton.name!r}, not {skeleton.name!r}")
        remove_temporary_files(run)
        return
    if run.exists() and (not run.is_dir() or any(run.iterdir())):
        raise FileExistsError(f"out: {run} has content; choose a new folder, or continue with --resume {run}")
    write_json(run / CONFIG, {"format_version": 1, "config": config.to_dict(), "skeleton": skeleton.to_dict()})


def remove_run_folder(run: Path) -> None:
    """Remove everything that a run wrote before it failed to start; its folder was new or empty."""
    for path in run.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()
    with suppress(OSError):  # the current directory, a symbolic link or a mount point cannot be removed
        run.rmdir()


def read_run(run: str | Path) -> tuple[TrainConfig, Skeleton]:
    """The settings and the skeleton of a run.

    Raises:
        FileNotFoundError: the folder holds no run.
        ValueError: its config.json is invalid.
    """
    path = Path(run) / CONFIG
    if not path.is_file():
        raise FileNotFoundError(f"resume: there is no run in {run} ({path} is missing)")
    try:
        data = parse_json(path.read_bytes(), path)
        return TrainConfig.from_dict(data["config"]), Skeleton.from_dict(data["skeleton"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{path}: not the settings of a training run ({one_line(error)})") from None
