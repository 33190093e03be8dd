"""The libraries that read and write videos."""

from __future__ import annotations

from typing import Any, Literal

Backend = Literal["auto", "pyav", "opencv"]

NEEDS_PYAV = "PyAV: pip install 'simplepose[video]'"


def load_pyav() -> Any:
    """The module ``av``, or None if it is not installed or its libraries cannot be loaded."""
    try:
        import av
    except ImportError:
        return None
    return av


def uses_pyav(backend: Backend) -> bool:
    """Whether PyAV is used.

    Args:
        backend: "auto" selects PyAV if it is installed.

    Raises:
        ValueError: there is no such backend.
        ModuleNotFoundError: ``backend`` is "pyav", which is not installed.
    """
    if backend not in ("auto", "pyav", "opencv"):
        raise ValueError(f'backend: expected "auto", "pyav" or "opencv", got {backend!r:.40}')
    if backend == "opencv":
        return False
    found = load_pyav() is not None
    if backend == "pyav" and not found:
        raise ModuleNotFoundError(f'backend="pyav" needs {NEEDS_PYAV}')
    return found
