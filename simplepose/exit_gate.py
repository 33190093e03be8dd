"""Calls of compiled code by daemon threads at the exit of the interpreter.

A thread that takes the interpreter lock while the interpreter is finalized is ended by Python. Compiled code of C++
does not survive that: the process aborts. Therefore the exit of the interpreter waits for the calls that run in other
threads, and a call that another thread starts afterwards never returns.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from contextlib import ContextDecorator

MAX_WAIT = 60.0
"""The exit waits at most this many seconds."""

_depth: dict[int, int] = {}  # running calls by thread; a thread writes only its own entry
_closed = False


class CompiledCall(ContextDecorator):
    """A context manager, or decorator, for calls of compiled code; it can be nested."""

    def __enter__(self) -> None:
        me = threading.get_ident()
        depth = _depth.get(me, 0)
        _depth[me] = depth + 1
        if _closed and depth == 0 and threading.current_thread() is not threading.main_thread():
            del _depth[me]
            threading.Event().wait()  # until the process ends

    def __exit__(self, *_: object) -> None:
        me = threading.get_ident()
        depth = _depth.pop(me, 1)
        if depth > 1:
            _depth[me] = depth - 1


compiled_call = CompiledCall()


def close() -> None:
    """Wait for the calls of other threads, and let no new one start; called at the exit of the interpreter."""
    global _closed
    _closed = True
    end = time.monotonic() + MAX_WAIT
    while set(_depth) - {threading.get_ident()} and time.monotonic() < end:
        time.sleep(0.001)


atexit.register(close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_depth.clear)  # the other threads do not exist in the child
