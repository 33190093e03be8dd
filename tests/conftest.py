"""What every test run adds to its summary."""

from __future__ import annotations

import map_cases


def pytest_terminal_summary(terminalreporter):
    """Print how many cases the parity test went through."""
    if map_cases.counts["cases"]:
        terminalreporter.write_line(map_cases.summary())
