"""Run a part of a test as the user ``nobody``: root sees and writes everything, people do not.

A fork of the test process drops its groups and its ids. It has imported all that it needs, so the interpreter and the
project may lie where ``nobody`` cannot read. Only for plain tests: a fork within a running loop would share it.
"""

from __future__ import annotations

import os
import pickle
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pytest

T = TypeVar("T")
_TIMEOUT_S = 30.0


class AsNobody(Protocol):
    def __call__(self, fn: Callable[..., T], *args: Any) -> T: ...


class FailedAsNobody(AssertionError):
    """The function failed with something that cannot be carried over; the text has its traceback."""


@pytest.fixture
def as_nobody() -> AsNobody:
    """Give a callable that runs ``fn(*args)`` as ``nobody`` and returns or raises what it did.

    Whoever runs the tests as an ordinary user is such a one already: there ``fn`` is just called.
    """
    return run_as_nobody


@pytest.fixture
def nobody_folder() -> Iterator[Path]:
    """Give an empty folder that everybody may enter and write; pytest's own ``tmp_path`` is closed to others."""
    folder = Path(tempfile.mkdtemp(prefix="launcher-nobody-")).resolve()
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


def run_as_nobody(fn: Callable[..., T], *args: Any) -> T:
    if sys.platform == "win32" or os.geteuid() != 0:
        return fn(*args)
    import pwd

    account = pwd.getpwnam("nobody")
    readable, writable = os.pipe()
    with warnings.catch_warnings():
        # From 3.12: "multi-threaded, use of fork() may lead to deadlocks". The other threads are idle probes.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        os.close(readable)
        _be_nobody_and_leave(account.pw_uid, account.pw_gid, writable, fn, args)
    os.close(writable)
    try:
        failed, outcome = pickle.loads(_read_all(readable, pid))  # noqa: S301 - written by our own fork
    finally:
        os.close(readable)
        os.waitpid(pid, 0)
    if failed:
        raise outcome
    return outcome  # type: ignore[no-any-return] # what fn returned, carried by pickle


def _be_nobody_and_leave(uid: int, gid: int, writable: int, fn: Callable[..., object], args: tuple[Any, ...]) -> None:
    status = 1
    try:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
        os.chdir("/")
        try:
            answer = _pickled(False, fn(*args))
        except BaseException as error:  # noqa: BLE001 - all of it belongs to the parent
            answer = _pickled(True, error)
        view = memoryview(answer)
        while view:
            view = view[os.write(writable, view) :]
        status = 0
    finally:
        os._exit(status)  # neither pytest's clean-up nor anybody's atexit


def _pickled(failed: bool, outcome: object) -> bytes:
    try:
        answer = pickle.dumps((failed, outcome))
        pickle.loads(answer)  # noqa: S301 - some errors can be written but not read
    except Exception:  # noqa: BLE001 - whatever somebody's __reduce__ raises
        text = "".join(traceback.format_exception(outcome)) if isinstance(outcome, BaseException) else repr(outcome)
        return pickle.dumps((True, FailedAsNobody(text)))
    return answer


def _read_all(readable: int, pid: int) -> bytes:
    chunks: list[bytes] = []
    deadline_s = time.monotonic() + _TIMEOUT_S
    while select.select([readable], [], [], max(0.0, deadline_s - time.monotonic()))[0]:
        chunk = os.read(readable, 65536)
        if not chunk:
            if not chunks:
                raise FailedAsNobody("the fork died without a word")
            return b"".join(chunks)
        chunks.append(chunk)
    os.kill(pid, signal.SIGKILL)
    raise FailedAsNobody(f"the fork did not answer within {_TIMEOUT_S} s")
