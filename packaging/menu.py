"""Put the app into the person's own menu, and take it out again. Runs on any Python from 3.8 on, standard library only.

Linux: a desktop entry and the icon below ``XDG_DATA_HOME``. Windows: a link in the Start menu, written by PowerShell's
own shell object. macOS has no such menu: the bundle is moved to Applications there.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Mapping

APP_ID = "io.github.ollama_launcher.OllamaLauncher"
ROOT = Path(__file__).resolve().parent.parent
_NAME = "Ollama Launcher"
# Characters that mean something inside a quoted argument of Exec (Desktop Entry Specification 1.5, "The Exec key").
_SPECIAL = ("\\", '"', "`", "$")
# Paths travel in the environment, so that no character of theirs is read as a command.
_LINK_SCRIPT = (
    "$l = (New-Object -ComObject WScript.Shell).CreateShortcut($env:LINK_PATH);"
    "$l.TargetPath = $env:LINK_TARGET; $l.WorkingDirectory = $env:LINK_FOLDER; $l.Save()"
)


class MenuError(Exception):
    """What happened, in one sentence, and what to do about it."""

    def __init__(self, sentence: str, hint: str) -> None:
        super().__init__(sentence)
        self.hint = hint


def install(window: Path, environment: Mapping[str, str], platform: str = sys.platform) -> list[Path]:
    """Write the menu entry that starts ``window``; returns the files that were written."""
    try:
        if platform == "win32":
            return [_write_link(window, environment)]
        if platform == "darwin":
            raise MenuError(
                "On macOS the menu is the Applications folder.",
                "Build the app with packaging/bundle.py and move it there.",
            )
        entry, icon = _linux_files(environment)
        for path in (entry, icon):
            path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(str(ROOT / "resources" / "icons" / "app.svg"), str(icon))
        template = (ROOT / "resources" / "desktop" / (APP_ID + ".desktop")).read_text(encoding="utf-8")
        entry.write_text(with_program(template, window), encoding="utf-8")
    except OSError as error:
        raise MenuError(f"The menu entry cannot be written: {error}.", "Check who may write there.") from error
    _refresh(entry.parent)
    return [entry, icon]


def uninstall(environment: Mapping[str, str], platform: str = sys.platform) -> list[Path]:
    """Remove what :func:`install` wrote; returns the files that were there."""
    files = [_link_path(environment)] if platform == "win32" else list(_linux_files(environment))
    removed = []
    for path in files:
        try:
            path.unlink()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise MenuError(f"{path} cannot be removed: {error}.", "Check who may write there.") from error
        removed.append(path)
    if platform not in ("win32", "darwin") and removed:
        _refresh(files[0].parent)
    return removed


def with_program(template: str, window: Path) -> str:
    """Name the program by its whole path, as a checkout is on nobody's PATH."""
    lines = []
    for line in template.splitlines():
        key = line.split("=", 1)[0]
        if key == "Exec":
            lines.append("Exec=" + quoted(str(window)))
        elif key == "TryExec":
            lines.append("TryExec=" + str(window).replace("\\", "\\\\"))
        else:
            lines.append(line)
    return "\n".join(lines) + "\n"


def quoted(path: str) -> str:
    """Quote one argument of Exec: once for the argument, once for the text it stands in; a per cent is doubled."""
    for special in _SPECIAL:
        path = path.replace(special, "\\" + special)
    return '"' + path.replace("\\", "\\\\").replace("%", "%%") + '"'


def _linux_files(environment: Mapping[str, str]) -> list[Path]:
    named = environment.get("XDG_DATA_HOME", "")
    if named.startswith("/"):
        data = Path(named)
    elif environment.get("HOME", "").startswith("/"):
        data = Path(environment["HOME"]) / ".local" / "share"
    else:
        raise MenuError("Your home folder is not known, so there is no menu to write to.", "Set HOME and try again.")
    return [
        data / "applications" / (APP_ID + ".desktop"),
        data / "icons" / "hicolor" / "scalable" / "apps" / (APP_ID + ".svg"),
    ]


def _refresh(applications: Path) -> None:
    """Tell the desktops that keep a cache; those without the tool look by themselves."""
    tool = shutil.which("update-desktop-database")
    if tool:
        subprocess.run([tool, "-q", str(applications)], check=False, timeout=30)


def _link_path(environment: Mapping[str, str]) -> Path:
    roaming = environment.get("APPDATA", "")
    if not roaming:
        raise MenuError("The Start menu's folder is not known.", "Set APPDATA and try again.")
    return Path(roaming) / "Microsoft" / "Windows" / "Start Menu" / "Programs" / (_NAME + ".lnk")


def _write_link(window: Path, environment: Mapping[str, str]) -> Path:
    link = _link_path(environment)
    link.parent.mkdir(parents=True, exist_ok=True)
    told = {"LINK_PATH": str(link), "LINK_TARGET": str(window), "LINK_FOLDER": str(window.parent)}
    command = ["powershell", "-NoProfile", "-NonInteractive", "-Command", _LINK_SCRIPT]
    result = subprocess.run(command, env={**environment, **told}, check=False, timeout=60)
    if result.returncode != 0:
        raise MenuError("The link in the Start menu could not be written.", "See what PowerShell said above.")
    return link
