"""Where the launcher keeps its own files, and where the files it came with lie.

Knows nothing of Ollama's folders (models, keys): those belong to :mod:`launcher.server`. The answers are computed at
each call, so that a test or a user can move everything by two environment variables:

``LAUNCHER_CONFIG_DIR``
    the settings.
``LAUNCHER_STATE_DIR``
    all else: the record of the server, logs, journals, caches.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

import platformdirs

from launcher.errors import StorageError, sentence

_FOLDER_NAME = "ollama-launcher"
_PACKAGE_FOLDER = Path(__file__).resolve().parent
# The wheel and a bundle carry the resources inside the package; a checkout and an editable install have them beside it.
_RESOURCE_FOLDERS = (_PACKAGE_FOLDER / "_resources", _PACKAGE_FOLDER.parent / "resources")


def config_dir() -> Path:
    """Tell the folder of the settings; it may not exist yet."""
    return _own_dir("LAUNCHER_CONFIG_DIR", "XDG_CONFIG_HOME", platformdirs.user_config_path)


def state_dir() -> Path:
    """Tell the folder of what the launcher remembers between two starts; it may not exist yet."""
    return _own_dir("LAUNCHER_STATE_DIR", "XDG_STATE_HOME", platformdirs.user_state_path)


def log_dir() -> Path:
    """Tell the folder of the launcher's and the server's logs; it may not exist yet."""
    return state_dir() / "logs"


def cache_dir() -> Path:
    """Tell the folder of what can be fetched again; it may not exist yet."""
    if os.environ.get("LAUNCHER_STATE_DIR"):
        return state_dir() / "cache"
    return _own_dir("", "XDG_CACHE_HOME", platformdirs.user_cache_path)


def ensure_dir(path: Path) -> Path:
    """Create a folder that only its owner may enter, with those above it; one that exists keeps its mode.

    Raises :class:`StorageError` where it cannot be created, or where a file is in its place.
    """
    try:
        # One by one: mkdir(parents=True) gives its mode to the last of them only.
        for folder in reversed([path, *path.parents]):
            if not folder.is_dir():
                folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise StorageError(
            sentence("The folder {path} cannot be created.", path=path),
            detail=str(error),
            hint="Check who may write there, or name another folder in LAUNCHER_CONFIG_DIR and LAUNCHER_STATE_DIR.",
        ) from error
    return path


def write_whole(path: Path, content: bytes, *, synced: bool = False) -> None:
    """Write a file that only its owner can read, as a whole or not at all. Raises OSError; leaves nothing behind then.

    ``synced``: it is on the disk before it takes the place of what was there.
    """
    import tempfile  # not needed for the first paint

    # mkstemp makes it 0600.
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            if synced:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def resource(name: str) -> Path:
    """Find a file that came with the program, e.g. ``resource("icons/app.svg")``.

    Works from a checkout, an editable install, a wheel and a bundle. Raises :class:`StorageError` where it is missing.
    """
    for folder in _RESOURCE_FOLDERS:
        path = folder / name
        if path.exists():
            return path
    raise StorageError(
        "A file of the program is missing.",
        detail=f"resource {name!r} is in none of {', '.join(map(str, _RESOURCE_FOLDERS))}",
        hint="Install the launcher again.",
    )


def _own_dir(variable: str, xdg_variable: str, default: Callable[..., Path]) -> Path:
    named = os.environ.get(variable)
    if named:
        return Path(named).absolute()
    if not _knows_home(xdg_variable):
        raise StorageError(
            "Your home folder is not known, so the launcher has no place for its files.",
            detail=f"HOME is {os.environ.get('HOME', 'not set')!r}",
            hint="Set HOME, or LAUNCHER_CONFIG_DIR and LAUNCHER_STATE_DIR, and start again.",
        )
    return default(_FOLDER_NAME, appauthor=False)


def _knows_home(xdg_variable: str) -> bool:
    # platformdirs would answer with a folder named "~" in the current one, or with /.config where HOME is empty.
    if sys.platform == "win32":
        return True
    if sys.platform != "darwin" and os.environ.get(xdg_variable, "").startswith("/"):
        return True
    return os.environ.get("HOME", "").startswith("/")
