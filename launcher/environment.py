"""The environment and the command of the processes that the launcher starts.

A bundle changes its own environment so that it finds its own libraries. A child that inherits this loads the wrong
ones, so every child (the server, ``xdg-open``, ``systemctl``, ourselves again) gets what :func:`child_environment`
makes. Nothing here may log: an environment holds secrets.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

COMPLETION_VARIABLE = "_OLLAMA_LAUNCHER_COMPLETE"
"""By it a shell asks our command line for completions, without any argument (click's rule for the name)."""

_LIBRARY_PATHS = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FRAMEWORK_PATH", "LIBPATH")
# PyInstaller's bootloader talks to its own child through these (bootloader/src/pyi_main.c, 6.x; _MEIPASS2 before 6.9).
_PACKAGER_PREFIX = "_PYI_"
_PACKAGER_NAMES = ("_MEIPASS2",)
_QT_PREFIXES = ("QT_", "QML")
# QT_API was chosen by launcher.loop for qasync; "_" is the path of the program that a shell started, which was us.
_OWN_NAMES = ("QT_API", "_")
_WINDOW_SUFFIX = "-window"


def child_environment(base: Mapping[str, str] | None = None, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Make a child's environment from ``base`` (ours where None), without what a bundle or we put in it.

    - ``LD_LIBRARY_PATH`` (and its like) gets back the value that the bootloader saved beside it as ``…_ORIG``; in a
      bundle one without a saved value was not there before, and goes.
    - The packager's own variables go; ``PYTHONHOME`` and ``PYTHONPATH`` go in a bundle only, where they are its own.
    - ``_`` goes, and ``QT_…`` and ``QML…`` where they were ours: those that point into the bundle, and ``QT_API``. A
      person's own (platform, scale) stay: a browser opened for them should look as always.
    - ``extra`` is laid over the rest.
    """
    environ = dict(os.environ if base is None else base)
    frozen = is_frozen()
    for name in _LIBRARY_PATHS:
        original = environ.pop(f"{name}_ORIG", None)
        if original is not None:
            environ[name] = original
        elif frozen:
            environ.pop(name, None)
    for name in [name for name, value in environ.items() if _is_ours(name, value, frozen=frozen)]:
        del environ[name]
    environ.update(extra or {})
    return environ


def self_command(*args: str) -> list[str]:
    """Make the command that starts the launcher again with ``args``: the command line, never the window's twin."""
    if not is_frozen():
        return [str(_with_console(Path(sys.executable))), "-m", "launcher", *args]
    return [str(_with_console(Path(sys.executable))), *args]


def has_display(environ: Mapping[str, str] | None = None) -> bool:
    """Tell whether a window can be shown here; ``QT_QPA_PLATFORM`` counts, for who sets it knows why."""
    if not sys.platform.startswith("linux"):
        return True
    environ = os.environ if environ is None else environ
    return any(environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"))


def is_window_program(program: str) -> bool:
    """Tell whether ``program`` is the one of the two that only opens the window."""
    return Path(program).stem.endswith(_WINDOW_SUFFIX)


def is_frozen() -> bool:
    """Tell whether we run from a bundle rather than from Python source."""
    return bool(getattr(sys, "frozen", False))


def _is_ours(name: str, value: str, *, frozen: bool) -> bool:
    if name.startswith(_PACKAGER_PREFIX) or name in _PACKAGER_NAMES or name in _OWN_NAMES:
        return True
    if not frozen:
        return False
    if name in ("PYTHONHOME", "PYTHONPATH"):
        return True
    return name.startswith(_QT_PREFIXES) and any(_is_in_bundle(part) for part in value.split(os.pathsep))


def _is_in_bundle(text: str) -> bool:
    path = Path(text)
    folders = (Path(sys.executable).parent, Path(getattr(sys, "_MEIPASS", sys.executable)))
    return path.is_absolute() and any(path == folder or folder in path.parents for folder in folders)


def _with_console(executable: Path) -> Path:
    """Find the twin that has a console: ``ollama-launcher`` for ``…-window``, ``python.exe`` for ``pythonw.exe``."""
    stem = executable.stem
    if stem.endswith(_WINDOW_SUFFIX):
        twin = executable.with_name(stem.removesuffix(_WINDOW_SUFFIX) + executable.suffix)
    elif stem.lower() == "pythonw":
        twin = executable.with_name("python" + executable.suffix)
    else:
        return executable
    return twin if twin.exists() else executable
