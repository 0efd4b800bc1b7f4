"""Fail a test that logs a warning, or worse, which it did not announce.

A test that provokes one says so: ``expect_log(r"did not end within")``. What was announced must also come.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

ExpectLog = Callable[[str], None]


class _Collector(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []
        self.expected: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.exc_info:
            text += "\n" + logging.Formatter().formatException(record.exc_info)
        self.lines.append(f"{record.levelname} {record.name}: {text}")


@pytest.fixture(autouse=True)
def unexpected_logs_fail() -> Iterator[_Collector]:
    collector = _Collector()
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    hooks = sys.excepthook, sys.unraisablehook, threading.excepthook
    root.addHandler(collector)
    yield collector
    # What setup_logging() and install_last_resort_handlers() did in a test ends with it.
    sys.excepthook, sys.unraisablehook, threading.excepthook = hooks
    root.setLevel(level)
    logging.captureWarnings(False)
    for handler in [handler for handler in root.handlers if handler not in handlers]:
        root.removeHandler(handler)
        handler.close()
    unexpected = [line for line in collector.lines if not any(re.search(p, line) for p in collector.expected)]
    missing = [p for p in collector.expected if not any(re.search(p, line) for line in collector.lines)]
    if unexpected:
        pytest.fail("logged without being expected:\n" + "\n".join(unexpected), pytrace=False)
    if missing:
        pytest.fail("expected but never logged:\n" + "\n".join(missing), pytrace=False)


@pytest.fixture
def expect_log(unexpected_logs_fail: _Collector) -> ExpectLog:
    """Announce a warning or error that the test provokes, by a regular expression."""
    return unexpected_logs_fail.expected.append
