"""One window for each person: a lock says who is first, a socket tells the first what a second start was for.

The lock decides, because a socket cannot: its file outlives a crash, and who listens on it anew steals it from one that
lives. A lock file holds a process number and is stale when that process is gone. Nothing is known here of what a
wish means.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QLockFile, QObject, Signal

if TYPE_CHECKING:
    from PySide6.QtNetwork import QLocalServer, QLocalSocket

_LOCK_NAME = "window.lock"
_SOCKET_NAME = "window.socket"
_LOCK_WAIT_MS = 100
_TRIES = 85
"""With the wait for the lock, 17 s: a first that quits is gone by then, whatever hangs in it."""
_TRY_EVERY_S = 0.1
_UNWRITTEN_S = 10.0
"""A lock without its process after so long is what a full disk or a power cut has left."""
_CONNECT_MS = 500
_ANSWER_MS = 2000
_TAKEN = b"taken\n"
_LARGEST_BYTES = 64 * 1024
# sockaddr_un holds 108 bytes on Linux, 104 on macOS.
_LONGEST_PATH = 100


@dataclass(frozen=True, slots=True)
class Wish:
    """What a start asks of the window that runs; at least to be seen."""

    pulls: tuple[str, ...] = ()
    hidden: bool = False
    """Started for the tray: the window need not come up."""
    activation_token: str = ""
    """XDG_ACTIVATION_TOKEN of the second start: without it Wayland does not let a window come to the front."""


class Handing(Enum):
    """What has become of a wish that was to be handed over."""

    TAKEN = "taken"
    FIRST = "first"
    """Nobody is there any more: this start is the first now."""
    NOT_HEARD = "not heard"


class SingleInstance(QObject):
    """The right to be the one window on a state folder.

    First :meth:`acquire`; who gets it calls :meth:`listen` once the window is painted, and :meth:`rest` when it begins
    to quit. Who does not get it calls :meth:`hand_over` and ends, unless it has become the first meanwhile.
    """

    wished = Signal(object)
    """A second start handed over its :class:`Wish`."""

    def __init__(self, folder: Path, parent: QObject | None = None) -> None:
        """``folder`` exists and is this person's own."""
        super().__init__(parent)
        self._lock = QLockFile(str(folder / _LOCK_NAME))
        # Never stale by its age, only because its process is gone.
        self._lock.setStaleLockTime(0)
        self._name = _socket_name(folder)
        self._server: QLocalServer | None = None
        self._sockets: list[QLocalSocket] = []

    def acquire(self) -> bool:
        """Be the first, or learn that another one is. A folder that cannot be written to counts as being the first."""
        if self._lock.tryLock(_LOCK_WAIT_MS) or (self._drop_unwritten() and self._lock.tryLock(_LOCK_WAIT_MS)):
            return True
        return self._lock.error() is not QLockFile.LockError.LockFailedError

    def listen(self) -> bool:
        """Hear from second starts from now on; False where that cannot be: they then end without having been heard."""
        try:
            # After the first paint: it costs about 10 ms, and needs a system library (Kerberos) that may be missing.
            from PySide6.QtNetwork import QLocalServer
        except ImportError:
            return False
        server = QLocalServer(self)
        server.setSocketOptions(QLocalServer.SocketOption.UserAccessOption)
        QLocalServer.removeServer(self._name)  # left by a crash: nobody else can be on it, for we have the lock
        server.newConnection.connect(self._on_connection)
        self._server = server
        return server.listen(self._name)

    def hand_over(self, wish: Wish, pause: Callable[[float], None] = time.sleep) -> Handing:
        """Tell the first what this start was for, or take its place where it is quitting.

        Blocks, for some seconds at most: there is no window to freeze.
        """
        try:
            from PySide6.QtNetwork import QLocalSocket
        except ImportError:
            return Handing.NOT_HEARD
        message = json.dumps(asdict(wish)).encode() + b"\n"
        for _ in range(_TRIES):
            # It may have the lock and not listen: not yet, or not any more.
            socket = QLocalSocket()
            socket.connectToServer(self._name)
            if socket.waitForConnected(_CONNECT_MS):
                socket.write(message)
                answered = socket.waitForReadyRead(_ANSWER_MS) and bytes(socket.readAll().data()).startswith(_TAKEN)
                hangs = not answered and socket.state() is socket.LocalSocketState.ConnectedState
                socket.abort()
                if answered:
                    return Handing.TAKEN
                if hangs:
                    return Handing.NOT_HEARD
            socket.abort()
            if self.acquire():
                return Handing.FIRST
            pause(_TRY_EVERY_S)
        return Handing.NOT_HEARD

    def rest(self) -> None:
        """Hear nobody any more, but keep the place until :meth:`close`: who comes now waits for it."""
        if self._server is not None:
            self._server.close()
            for socket in self._sockets:
                socket.disconnected.disconnect(self._on_disconnected)
                socket.abort()
            self._sockets.clear()
            self._server = None

    def close(self) -> None:
        """Let the next start be the first."""
        self.rest()
        self._lock.unlock()

    def _drop_unwritten(self) -> bool:
        """Take away a lock that names no process, which Qt would keep for ever; True when it is gone."""
        path = Path(self._lock.fileName())
        with contextlib.suppress(OSError):
            found = path.stat()
            if found.st_size == 0 and time.time() - found.st_mtime > _UNWRITTEN_S:
                path.unlink()
                return True
        return False

    def _on_connection(self) -> None:
        while self._server is not None and (socket := self._server.nextPendingConnection()) is not None:
            self._sockets.append(socket)
            socket.readyRead.connect(self._on_ready)
            socket.disconnected.connect(self._on_disconnected)
        self._on_ready()

    def _on_ready(self) -> None:
        for socket in list(self._sockets):
            self._read(socket)

    def _on_disconnected(self) -> None:
        # By their state, and not by a closure over each: a slot that holds its own sender crashed PySide6 6.11.
        for socket in [each for each in self._sockets if each.state() is each.LocalSocketState.UnconnectedState]:
            self._sockets.remove(socket)
            socket.deleteLater()

    def _read(self, socket: QLocalSocket) -> None:
        if not socket.canReadLine():
            if socket.bytesAvailable() > _LARGEST_BYTES:
                socket.abort()
            return
        wish = _parse(bytes(socket.readLine().data()))
        if wish is None:
            socket.abort()
            return
        socket.write(_TAKEN)
        socket.flush()
        self.wished.emit(wish)


def _socket_name(folder: Path) -> str:
    """Name the socket by its person and folder: a short name lands in a temporary folder that all people share."""
    if sys.platform == "win32":
        person = os.environ.get("USERNAME", "")
    else:
        path = str(folder / _SOCKET_NAME)
        if len(os.fsencode(path)) <= _LONGEST_PATH:
            return path
        person = str(os.getuid())
    return f"ollama-launcher-{person}-{zlib.crc32(os.fsencode(folder)):08x}"


def _parse(line: bytes) -> Wish | None:
    try:
        raw = json.loads(line)
        pulls = tuple(str(name) for name in raw.get("pulls", ()))
        return Wish(pulls, bool(raw.get("hidden")), str(raw.get("activation_token", "")))
    except (ValueError, TypeError, AttributeError):
        return None
