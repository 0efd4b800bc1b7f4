"""The file of the settings: read with patience, written all or nothing.

A file that cannot be understood is set aside and reported, never fatal and never overwritten; keys that this version
does not know survive; a folder that cannot be written to stops changes, not reading. What the values mean is
declared in :mod:`launcher.domain.settings`.
"""

from __future__ import annotations

import json
import os
import stat
import sys
from dataclasses import replace
from pathlib import Path

from launcher.domain.settings import (
    Notice,
    Settings,
    default_settings,
    read_setting,
    read_settings,
    written_setting,
    written_settings,
)
from launcher.errors import StorageError, sentence
from launcher.paths import config_dir, ensure_dir, write_whole

FILE_NAME = "settings.json"

_LARGEST_BYTES = 1_000_000
_SET_ASIDE_AT_MOST = 20
# Laid under what the file says.
_OF_THIS_SYSTEM = written_settings(default_settings(sys.platform))


class SettingsStorage:
    """The settings in one file. Two processes may use it: each change starts from what the file holds then."""

    def __init__(self, path: Path | None = None) -> None:
        """``path`` is the file; None: ``settings.json`` in :func:`config_dir`, which may raise StorageError."""
        self.path = path if path is not None else config_dir() / FILE_NAME
        self._current = _defaults()

    @property
    def current(self) -> Settings:
        """What was last read or written; the defaults before that."""
        return self._current

    def load(self, *, mend: bool = True) -> tuple[Notice, ...]:
        """Read the file and tell what was wrong with it. Whatever that is, :attr:`current` is complete afterwards.

        With ``mend=False`` a file that cannot be understood stays where it is.
        """
        try:
            raw = self._read()
        except _Unreadable as trouble:
            self._current = _defaults()
            return (trouble.notice,)
        except _Broken as trouble:
            self._current = _defaults()
            return (self._set_aside(trouble.reason) if mend else self._broken_notice(trouble.reason),)
        self._current, notices = read_settings({**_OF_THIS_SYSTEM, **raw})
        return notices

    def change(self, **values: object) -> Settings:
        """Set some values and write the file; returns all settings.

        Raises InvalidSetting before anything is touched, StorageError when the file cannot be written.
        """
        parsed = {key: read_setting(key, value) for key, value in values.items()}
        try:
            raw = self._read()
        except _Unreadable as trouble:
            # Writing would throw away keys that we cannot see.
            raise StorageError(
                "The settings cannot be saved: " + trouble.notice.title,
                detail=trouble.notice.detail,
                hint=trouble.notice.hint,
            ) from trouble
        except _Broken as trouble:
            self._set_aside(trouble.reason)
            raw = {}
        for key, value in parsed.items():
            raw[key] = written_setting(value)
        self._write(raw)
        self._current, _ = read_settings({**_OF_THIS_SYSTEM, **raw})
        return self._current

    def _read(self) -> dict[str, object]:
        try:
            status = self.path.stat()
            if not stat.S_ISREG(status.st_mode):
                raise _Unreadable(self._unreadable_notice("it is not a file"))
            if status.st_size > _LARGEST_BYTES:
                raise _Broken(f"it is {status.st_size} bytes long")
            content = self.path.read_bytes()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise _Unreadable(self._unreadable_notice(str(error))) from error
        if not content.strip():
            return {}
        try:
            raw = json.loads(content.decode("utf-8-sig"))
        except (ValueError, RecursionError) as error:
            raise _Broken(str(error)) from error
        if not isinstance(raw, dict):
            raise _Broken("it does not hold a JSON object")
        return raw

    def _unreadable_notice(self, reason: str) -> Notice:
        return Notice(
            sentence("The file of the settings, {path}, cannot be read; the defaults are used.", path=self.path),
            hint="Check who may read it.",
            detail=reason,
        )

    def _broken_notice(self, reason: str) -> Notice:
        return Notice(
            sentence(
                "The file of the settings, {path}, could not be understood; the defaults are used.", path=self.path
            ),
            hint="Mend it or remove it.",
            detail=reason,
        )

    def _set_aside(self, reason: str) -> Notice:
        """Move the broken file out of the way, so that the next change does not overwrite it."""
        found = self._broken_notice(reason)
        for number in range(1, _SET_ASIDE_AT_MOST + 1):
            name = f"{self.path.stem}.broken{'' if number == 1 else f'-{number}'}{self.path.suffix}"
            aside = self.path.with_name(name)
            if aside.exists() and number < _SET_ASIDE_AT_MOST:
                continue
            try:
                os.replace(self.path, aside)
            except OSError as error:
                return replace(found, detail=f"{reason}; not set aside: {error}")
            return replace(found, hint=sentence("It was kept as {aside}.", aside=aside))
        raise AssertionError("unreachable: the last number is always taken")

    def _write(self, raw: dict[str, object]) -> None:
        # Somebody who keeps the file elsewhere behind a link wants the link to stay.
        target = Path(os.path.realpath(self.path))
        content = json.dumps(raw, indent=2, ensure_ascii=False) + "\n"
        ensure_dir(target.parent)
        try:
            write_whole(target, content.encode("utf-8", "surrogatepass"), synced=True)
        except OSError as error:
            raise StorageError(
                sentence("The settings cannot be saved in {parent}.", parent=target.parent),
                detail=str(error),
                hint="Check who may write there and whether the disk is full; nothing was changed.",
            ) from error


def _defaults() -> Settings:
    return default_settings(sys.platform)


class _Broken(Exception):
    """The file was read and is not ours to understand."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _Unreadable(Exception):
    """The file is there and cannot be read."""

    def __init__(self, notice: Notice) -> None:
        super().__init__(notice.title)
        self.notice = notice
