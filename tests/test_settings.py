"""The settings file: kept whole, private, and never in the way."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from launcher.domain.settings import InvalidSetting, OnQuit, Settings
from launcher.errors import StorageError
from launcher.settings import SettingsStorage


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config" / "settings.json"


def written(path: Path, content: str | bytes) -> SettingsStorage:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return SettingsStorage(path)


def test_without_a_file_there_are_the_defaults(path: Path) -> None:
    storage = SettingsStorage(path)
    assert storage.load() == ()
    assert storage.current == Settings()
    assert not path.parent.exists()


def test_the_file_lies_in_the_folder_of_the_configuration() -> None:
    assert SettingsStorage().path == Path(os.environ["LAUNCHER_CONFIG_DIR"]) / "settings.json"


def test_a_change_is_read_by_the_next(path: Path) -> None:
    changed = SettingsStorage(path).change(address="127.0.0.1:5000", on_quit="leave")
    assert changed == Settings(address="127.0.0.1:5000", on_quit=OnQuit.LEAVE)
    other = SettingsStorage(path)
    assert other.load() == ()
    assert other.current == changed


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes")
def test_only_the_owner_may_read_it(path: Path) -> None:
    SettingsStorage(path).change(on_quit=OnQuit.LEAVE)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_nothing_is_left_beside_the_file(path: Path) -> None:
    storage = SettingsStorage(path)
    storage.change(on_quit=OnQuit.LEAVE)
    storage.change(on_quit=OnQuit.STOP)
    assert [entry.name for entry in path.parent.iterdir()] == ["settings.json"]


def test_unknown_keys_survive(path: Path) -> None:
    storage = written(path, '{"theme": {"dark": true}, "address": "127.0.0.1:1"}')
    storage.change(on_quit=OnQuit.LEAVE)
    assert json.loads(path.read_text()) == {
        "theme": {"dark": True},
        "address": "127.0.0.1:1",
        "on_quit": "leave",
    }


def test_a_value_that_cannot_be_survives_until_it_is_changed(path: Path) -> None:
    storage = written(path, '{"on_quit": "later-version-word"}')
    assert [("on_quit" in notice.title) for notice in storage.load()] == [True]
    assert storage.change(address="127.0.0.1:1").on_quit is OnQuit.STOP
    assert json.loads(path.read_text())["on_quit"] == "later-version-word"
    assert storage.change(on_quit=OnQuit.LEAVE).on_quit is OnQuit.LEAVE


def test_two_storages_do_not_undo_each_other(path: Path) -> None:
    mine, other = SettingsStorage(path), SettingsStorage(path)
    mine.load()
    other.load()
    mine.change(address="127.0.0.1:1")
    assert other.change(on_quit=OnQuit.LEAVE) == Settings(address="127.0.0.1:1", on_quit=OnQuit.LEAVE)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"{", id="cut"),
        pytest.param(b"\xff\xfe\x00garbage", id="not UTF-8"),
        pytest.param(b"[1, 2]", id="not an object"),
        pytest.param(b"[" * 100_000, id="nested too deep"),
        pytest.param(b" " * 1_000_001, id="too long"),
    ],
)
def test_a_broken_file_is_set_aside_and_reported(path: Path, content: bytes) -> None:
    storage = written(path, content)
    (notice,) = storage.load()
    assert str(path) in notice.title
    aside = path.with_name("settings.broken.json")
    assert str(aside) in notice.hint
    assert aside.read_bytes() == content
    assert not path.exists()
    assert storage.current == Settings()
    assert storage.load() == ()


def test_a_second_broken_file_does_not_overwrite_the_first(path: Path) -> None:
    written(path, "one").load()
    written(path, "two").load()
    assert path.with_name("settings.broken.json").read_text() == "one"
    assert path.with_name("settings.broken-2.json").read_text() == "two"


def test_a_change_sets_a_broken_file_aside_first(path: Path) -> None:
    written(path, "garbage").change(on_quit=OnQuit.LEAVE)
    assert path.with_name("settings.broken.json").read_text() == "garbage"
    assert json.loads(path.read_text()) == {"on_quit": "leave"}


@pytest.mark.parametrize("content", [pytest.param(b"", id="empty"), pytest.param(b"\n \n", id="blank")])
def test_an_empty_file_is_no_fault(path: Path, content: bytes) -> None:
    assert written(path, content).load() == ()


def test_a_byte_order_mark_is_no_fault(path: Path) -> None:
    storage = written(path, b"\xef\xbb\xbf" + b'{"on_quit": "leave"}')
    assert storage.load() == ()
    assert storage.current.on_quit is OnQuit.LEAVE


def test_something_that_is_not_a_file_is_left_alone(path: Path) -> None:
    path.mkdir(parents=True)
    storage = SettingsStorage(path)
    (notice,) = storage.load()
    assert "cannot be read" in notice.title
    with pytest.raises(StorageError):
        storage.change(on_quit=OnQuit.LEAVE)
    assert path.is_dir()


def test_an_impossible_value_changes_nothing(path: Path) -> None:
    storage = SettingsStorage(path)
    with pytest.raises(InvalidSetting):
        storage.change(address="127.0.0.1:1", on_quit="explode")
    assert storage.current == Settings()
    assert not path.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_a_link_stays_a_link(path: Path, tmp_path: Path) -> None:
    kept = tmp_path / "dotfiles" / "launcher.json"
    kept.parent.mkdir()
    kept.write_text('{"on_quit": "leave"}')
    path.parent.mkdir()
    path.symlink_to(kept)
    SettingsStorage(path).change(address="127.0.0.1:1")
    assert path.is_symlink()
    assert json.loads(kept.read_text()) == {"on_quit": "leave", "address": "127.0.0.1:1"}


def test_a_file_in_place_of_the_folder_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("")
    storage = SettingsStorage(tmp_path / "config" / "settings.json")
    storage.load()
    with pytest.raises(StorageError):
        storage.change(on_quit=OnQuit.LEAVE)


def test_who_only_looks_moves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    path.write_text("{broken", encoding="utf-8")
    storage = SettingsStorage(path)
    (notice,) = storage.load(mend=False)
    assert "could not be understood" in notice.title
    assert notice.hint == "Mend it or remove it."
    assert os.listdir(tmp_path) == ["settings.json"]
    assert storage.current.on_quit is OnQuit.STOP
