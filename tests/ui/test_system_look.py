"""The desktop's wishes reach the theme at once: seen with a real Qt on Xvfb, told by a stub of the desktop portal.

Offscreen and bare Xvfb know no colour scheme; as GNOME, Qt reads ``org.freedesktop.portal.Settings`` on the session bus
and listens to it (QGnomeTheme, Qt 6.11 and 6.12). Stub and theme live in one child process with a bus of their own.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems have no desktop portal")

ROOT = Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 20.0
RUN_TIMEOUT_S = 60

PROGRAM = """
import json
from PySide6.QtCore import QTimer, qVersion
from PySide6.QtDBus import QDBusConnection, QDBusMessage, QDBusVariant, QDBusVirtualObject
from launcher.app.start import make_application
from launcher.ui.theme import Appearance, Theme

WISHES = [("color-scheme", 1), ("color-scheme", 0), ("contrast", 1), ("contrast", 0)]
if tuple(map(int, qVersion().split(".")[:2])) >= (6, 12):
    WISHES += [("reduced-motion", 1), ("reduced-motion", 0)]
PATH = "/org/freedesktop/portal/desktop"


class Portal(QDBusVirtualObject):
    def introspect(self, path):
        return ""

    def handleMessage(self, message, connection):
        # Refused, so that Qt only listens; but now it does.
        if message.member() == "ReadAll":
            QTimer.singleShot(0, app, wish_next)
        return False


bus = QDBusConnection.connectToBus(QDBusConnection.BusType.SessionBus, "portal")
portal = Portal()
assert bus.registerVirtualObject(PATH, portal)
assert bus.registerService("org.freedesktop.portal.Desktop")
app = make_application(["launcher"])
theme = Theme(app)
theme.apply(Appearance.SYSTEM)
seen = []


def note():
    seen.append([theme.dark, theme.high_contrast, theme.reduced_motion])
    wish_next()


def wish_next():
    if not WISHES:
        app.exit()
        return
    key, value = WISHES.pop(0)
    signal = QDBusMessage.createSignal(PATH, "org.freedesktop.portal.Settings", "SettingChanged")
    signal.setArguments(["org.freedesktop.appearance", key, QDBusVariant(value)])
    bus.send(signal)


seen.append([theme.dark, theme.high_contrast, theme.reduced_motion])
theme.changed.connect(note)
QTimer.singleShot(30_000, app.exit)
app.exec()
print(json.dumps({"qt": qVersion(), "seen": seen}))
"""


@pytest.fixture
def display() -> Iterator[str]:
    """An X server of its own; it chooses a free number and says it once it listens."""
    reader, writer = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writer), "-screen", "0", "800x600x24", "-nolisten", "tcp"],
        pass_fds=(writer,),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(writer)
    try:
        ready, _, _ = select.select([reader], [], [], START_TIMEOUT_S)
        assert ready, "Xvfb did not come up"
        yield ":" + os.read(reader, 32).decode().strip()
    finally:
        os.close(reader)
        server.terminate()
        server.wait(10)


def test_the_theme_follows_the_desktop(display: str, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "DISPLAY": display,
        "QT_QPA_PLATFORM": "xcb",
        "XDG_CURRENT_DESKTOP": "GNOME",
        "XDG_RUNTIME_DIR": str(tmp_path),
        "PYTHONPATH": str(ROOT),
    }
    run = subprocess.run(
        ["dbus-run-session", "--", sys.executable, "-c", PROGRAM],
        env=environment,
        capture_output=True,
        text=True,
        timeout=RUN_TIMEOUT_S,
        check=False,
    )

    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout)
    wished = [[False] * 3, [True, False, False], [False] * 3, [False, True, False], [False] * 3]
    if tuple(map(int, told["qt"].split(".")[:2])) >= (6, 12):
        wished += [[False, False, True], [False] * 3]
    assert told["seen"] == wished, run.stderr
