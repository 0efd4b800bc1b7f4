from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from launcher.actions.ask import Refuse
from launcher.actions.change_setting import change_setting, check_program, choose_program
from launcher.domain.questions import Question
from launcher.domain.settings import InvalidSetting, OnQuit
from launcher.server.errors import BinaryUnusable
from launcher.server.find import VARIABLE
from launcher.settings import SettingsStorage

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.blocks_loop("starting a process waits for a processor, up to 200 ms on a busy machine"),
    pytest.mark.skipif(sys.platform == "win32", reason="programs are made of scripts"),
]


def program(path: Path, says: str) -> Path:
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def ollama(tmp_path: Path) -> Path:
    return program(tmp_path / "ollama", "ollama version is 0.33.0")


@pytest.fixture
def storage(tmp_path: Path) -> SettingsStorage:
    return SettingsStorage(tmp_path / "settings.json")


class Choosing:
    """A person who chooses a file, or none."""

    def __init__(self, path: Path | None) -> None:
        self.started_at: list[str] = []
        self._path = path

    async def confirm(self, question: Question) -> bool:
        raise AssertionError("there is nothing to confirm")

    async def choose_program(self, start: str) -> str | None:
        self.started_at.append(start)
        return None if self._path is None else str(self._path)


async def test_a_program_that_tells_a_version_is_taken(ollama: Path, storage: SettingsStorage) -> None:
    assert await check_program(str(ollama), os.environ) == "0.33.0"
    changed = await change_setting(storage, "ollama_binary", str(ollama))
    assert changed.ollama_binary == str(ollama)
    assert SettingsStorage(storage.path).load() == ()


async def test_the_variable_does_not_answer_for_another_program(tmp_path: Path, ollama: Path) -> None:
    wrong = program(tmp_path / "other", "hello")
    with pytest.raises(BinaryUnusable):
        await check_program(str(wrong), {**os.environ, VARIABLE: str(ollama)})


@pytest.mark.parametrize("kind", ["missing", "folder", "not executable", "no ollama"])
async def test_what_is_no_ollama_is_not_saved(tmp_path: Path, storage: SettingsStorage, kind: str) -> None:
    path = tmp_path / "thing"
    if kind == "folder":
        path.mkdir()
    elif kind == "not executable":
        path.write_text("")
    elif kind == "no ollama":
        program(path, "GNU coreutils 9.1")
    with pytest.raises(BinaryUnusable) as caught:
        await change_setting(storage, "ollama_binary", str(path))
    assert str(path) in caught.value.title
    assert caught.value.hint
    assert not storage.path.exists()


async def test_emptying_the_program_needs_no_look(storage: SettingsStorage, ollama: Path) -> None:
    await change_setting(storage, "ollama_binary", str(ollama))
    assert (await change_setting(storage, "ollama_binary", "")).ollama_binary == ""


async def test_other_settings_are_saved_as_they_are(storage: SettingsStorage) -> None:
    assert (await change_setting(storage, "on_quit", OnQuit.LEAVE)).on_quit is OnQuit.LEAVE
    with pytest.raises(InvalidSetting):
        await change_setting(storage, "address", "ftp://box")
    assert storage.current.on_quit is OnQuit.LEAVE


async def test_choosing_begins_where_the_last_one_is(storage: SettingsStorage, ollama: Path) -> None:
    person = Choosing(ollama)
    changed = await choose_program(storage, person)
    assert changed is not None
    assert changed.ollama_binary == str(ollama)
    await choose_program(storage, person)
    assert person.started_at == ["", str(ollama)]


async def test_who_does_not_choose_changes_nothing(storage: SettingsStorage) -> None:
    assert await choose_program(storage, Choosing(None)) is None
    assert await choose_program(storage, Refuse()) is None
    assert not storage.path.exists()
