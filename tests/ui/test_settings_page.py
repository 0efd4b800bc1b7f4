from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import Any

import pytest
import shiboken6
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import (
    QAbstractItemView,
    QApplication,
    QCheckBox,
    QComboBox,
    QFileDialog,
    QLabel,
    QLineEdit,
    QPushButton,
)

from launcher.domain.models import InstalledModel, Models
from launcher.domain.server import Owner, ServerState, ServerStatus
from launcher.domain.settings import DECLARATIONS, Appearance, OnQuit, OnStart, Settings
from launcher.errors import StorageError
from launcher.ui.pages.settings import SettingsPage
from launcher.ui.store import Store
from launcher.ui.theme import Theme
from launcher.ui.widgets.breakable import breakable

MakeStatus = Callable[..., ServerStatus]


class Saving:
    """Does what the launcher does with wishes: saves them in the store."""

    def __init__(self, page: SettingsPage, store: Store) -> None:
        self.wished: list[tuple[str, object]] = []
        self._store = store
        page.setting_changed.connect(self._save)

    def _save(self, key: str, value: object) -> None:
        self.wished.append((key, value))
        settings = self._store.settings
        assert settings is not None
        self._store.put(replace(settings, **{key: value}))  # type: ignore[arg-type] # as the declaration has read it


@pytest.fixture
def make_page(store: Store, theme: Theme) -> Iterator[Callable[..., SettingsPage]]:
    pages: list[SettingsPage] = []

    def make(settings: Settings | None = None, **more: Any) -> SettingsPage:
        store.put(settings or Settings())
        page = SettingsPage(store, theme, **{"environ": {}, "system": "linux", **more})
        pages.append(page)
        page.resize(900, 700)
        page.show()
        return page

    yield make
    for page in pages:
        shiboken6.delete(page)


def line(page: SettingsPage, key: str) -> QLineEdit:
    field = page.rows[key].editor.field
    found = field.lineEdit() if isinstance(field, QComboBox) else field
    assert isinstance(found, QLineEdit)
    return found


def note(page: SettingsPage, key: str) -> str:
    return page.rows[key].note.text().replace("\u200b", "")


def shown(page: SettingsPage) -> set[str]:
    return {key for key, row in page.rows.items() if row.isVisibleTo(page)}


def choose(page: SettingsPage, key: str, words: str) -> None:
    combo = page.rows[key].editor.field
    assert isinstance(combo, QComboBox)
    place = combo.findText(words)
    assert place >= 0, [combo.itemText(each) for each in range(combo.count())]
    combo.setCurrentIndex(place)
    combo.activated.emit(place)


# What is shown


def test_every_setting_is_there_with_its_words(make_page: Callable[..., SettingsPage]) -> None:
    page = make_page()
    assert list(page.rows) == [field.name for field in fields(Settings)]
    for declaration in DECLARATIONS:
        row = page.rows[declaration.key]
        assert row.label.text() == declaration.label
        assert row.help.text() == declaration.help
        assert row.editor.field.accessibleName() == declaration.label
        assert row.editor.field.objectName() == declaration.key.replace("_", "-") + "-field"


def test_what_is_saved_is_shown(make_page: Callable[..., SettingsPage], store: Store) -> None:
    settings = Settings(
        "/opt/ollama", "127.0.0.1:9", OnStart.WATCH, OnQuit.LEAVE, "qwen3:8b", Appearance.DARK, close_to_tray=True
    )
    page = make_page(settings)
    assert line(page, "ollama_binary").text() == "/opt/ollama"
    assert line(page, "address").text() == "127.0.0.1:9"
    assert line(page, "default_model").text() == "qwen3:8b"
    for key, words in (("on_start", "Only watch"), ("on_quit", "Leave it running"), ("appearance", "Dark")):
        combo = page.rows[key].editor.field
        assert isinstance(combo, QComboBox)
        assert combo.currentText() == words
    box = page.rows["close_to_tray"].editor.field
    assert isinstance(box, QCheckBox)
    assert box.isChecked()
    store.put(Settings())
    assert line(page, "address").text() == ""
    assert not box.isChecked()


# Saving


@pytest.mark.parametrize(
    ("key", "words", "value"),
    [
        pytest.param("on_start", "Only watch", OnStart.WATCH, id="on start"),
        pytest.param("on_quit", "Leave it running", OnQuit.LEAVE, id="on quit"),
        pytest.param("appearance", "Dark", Appearance.DARK, id="appearance"),
    ],
)
def test_a_choice_is_saved_at_once(
    make_page: Callable[..., SettingsPage], store: Store, key: str, words: str, value: object
) -> None:
    page = make_page()
    saving = Saving(page, store)
    choose(page, key, words)
    assert saving.wished == [(key, value)]
    assert page.rows[key].saved.words == "Saved"
    choose(page, key, words)
    assert len(saving.wished) == 1, "what is set already is not wished again"


def test_a_switch_is_saved_at_once(make_page: Callable[..., SettingsPage], store: Store) -> None:
    page = make_page()
    saving = Saving(page, store)
    QTest.keyClick(page.rows["close_to_tray"].editor.field, Qt.Key.Key_Space)
    assert saving.wished == [("close_to_tray", True)]


def test_the_badge_comes_only_when_it_is_saved(make_page: Callable[..., SettingsPage], store: Store) -> None:
    page = make_page()
    choose(page, "appearance", "Dark")
    assert page.rows["appearance"].saved.words == ""
    store.put(Settings(appearance=Appearance.DARK))
    assert page.rows["appearance"].saved.words == "Saved"


def test_a_text_is_saved_by_return_or_by_leaving(make_page: Callable[..., SettingsPage], store: Store) -> None:
    page = make_page()
    saving = Saving(page, store)
    QTest.keyClicks(line(page, "address"), " 127.0.0.1:5000 ")
    assert saving.wished == [], "nobody can know yet whether that is all"
    assert "Return saves it" in note(page, "address")
    QTest.keyClick(line(page, "address"), Qt.Key.Key_Return)
    assert saving.wished == [("address", "127.0.0.1:5000")]
    assert line(page, "address").text() == "127.0.0.1:5000"
    line(page, "default_model").setFocus()
    QTest.keyClicks(line(page, "default_model"), "qwen3")
    line(page, "default_model").editingFinished.emit()
    assert saving.wished[1:] == [("default_model", "qwen3:latest")], "in its whole form"
    assert line(page, "default_model").text() == "qwen3:latest"


def test_escape_takes_back_what_was_typed(make_page: Callable[..., SettingsPage], store: Store) -> None:
    page = make_page(Settings(address="127.0.0.1:9"))
    saving = Saving(page, store)
    line(page, "address").selectAll()
    QTest.keyClicks(line(page, "address"), "a b")
    assert line(page, "address").property("tone") == "bad"
    QTest.keyClick(line(page, "address"), Qt.Key.Key_Escape)
    assert line(page, "address").text() == "127.0.0.1:9"
    assert line(page, "address").property("tone") == ""
    assert saving.wished == []


@pytest.mark.parametrize(
    ("key", "text", "said"),
    [
        pytest.param("address", "ftp://box", "ftp://", id="address"),
        pytest.param("default_model", "a b", "a b", id="model name"),
    ],
)
def test_what_cannot_be_is_explained_and_not_saved(
    make_page: Callable[..., SettingsPage], store: Store, key: str, text: str, said: str
) -> None:
    page = make_page()
    saving = Saving(page, store)
    QTest.keyClicks(line(page, key), text)
    assert said in note(page, key), "while it is typed"
    assert page.rows[key].note.property("kind") == "bad"
    QTest.keyClick(line(page, key), Qt.Key.Key_Return)
    assert saving.wished == []
    assert said in note(page, key)
    assert page.rows[key].editor.field.accessibleDescription(), "who does not see the note hears it"


def test_what_was_not_saved_is_told_in_place(make_page: Callable[..., SettingsPage]) -> None:
    page = make_page()
    QTest.keyClicks(line(page, "ollama_binary"), "/bin/ls")
    QTest.keyClick(line(page, "ollama_binary"), Qt.Key.Key_Return)
    page.show_failed("ollama_binary", StorageError("It is no Ollama.", hint="Choose another."))
    assert note(page, "ollama_binary") == "It is no Ollama. Choose another."
    assert line(page, "ollama_binary").text() == "/bin/ls", "to be corrected"
    choose(page, "appearance", "Dark")
    page.show_failed("appearance", StorageError("The disk is full."))
    combo = page.rows["appearance"].editor.field
    assert isinstance(combo, QComboBox)
    assert combo.currentText() == "As the system has it", "what is shown is what is"


def test_news_do_not_disturb_who_is_typing(make_page: Callable[..., SettingsPage], store: Store) -> None:
    page = make_page()
    QTest.keyClicks(line(page, "address"), "127.0.0.1:50")
    store.put(Settings(appearance=Appearance.DARK))
    assert line(page, "address").text() == "127.0.0.1:50"


def test_a_default_comes_back(make_page: Callable[..., SettingsPage], store: Store) -> None:
    page = make_page(Settings(on_quit=OnQuit.LEAVE, close_to_tray=True))
    saving = Saving(page, store)
    assert page.rows["appearance"].reset.isHidden()
    page.rows["on_quit"].reset.click()
    page.rows["close_to_tray"].reset.click()
    assert saving.wished == [("on_quit", OnQuit.STOP), ("close_to_tray", False)]
    assert page.rows["on_quit"].reset.isHidden()


def test_the_default_is_that_of_the_system(make_page: Callable[..., SettingsPage]) -> None:
    page = make_page(Settings(close_to_tray=True), system="win32")
    assert page.rows["close_to_tray"].reset.isHidden()


# What the environment has a say in


def test_a_variable_that_wins_is_told_and_the_field_is_off(make_page: Callable[..., SettingsPage]) -> None:
    page = make_page(environ={"OLLAMA_LAUNCHER_OLLAMA": "/opt/ollama"})
    assert not page.rows["ollama_binary"].editor.isEnabled()
    assert "OLLAMA_LAUNCHER_OLLAMA" in note(page, "ollama_binary")
    assert "/opt/ollama" in note(page, "ollama_binary")


def test_a_variable_that_counts_where_nothing_is_set(make_page: Callable[..., SettingsPage], store: Store) -> None:
    page = make_page(environ={"OLLAMA_HOST": "0.0.0.0:9"})
    assert page.rows["address"].editor.isEnabled()
    assert "OLLAMA_HOST" in note(page, "address")
    assert line(page, "address").placeholderText() == "0.0.0.0:9"
    store.put(Settings(address="127.0.0.1:5"))
    assert note(page, "address") == ""


def test_an_open_address_is_warned_of(make_page: Callable[..., SettingsPage]) -> None:
    page = make_page()
    QTest.keyClicks(line(page, "address"), "0.0.0.0")
    assert "network" in note(page, "address")


# A server that runs


def test_a_server_that_runs_is_offered_a_restart(
    make_page: Callable[..., SettingsPage], store: Store, make_status: MakeStatus, qtbot: Any
) -> None:
    store.put(make_status(pid=1))
    page = make_page()
    store.put(Settings(address="127.0.0.1:5000"))
    restart = page.rows["address"].restart
    assert restart.isVisibleTo(page)
    with qtbot.waitSignal(page.restart_requested):
        restart.click()
    store.put(make_status(pid=2))
    assert not restart.isVisibleTo(page)


def test_a_server_of_others_is_left_alone(
    make_page: Callable[..., SettingsPage], store: Store, make_status: MakeStatus
) -> None:
    store.put(make_status(owner=Owner.SYSTEM_SERVICE, pid=1))
    page = make_page()
    store.put(Settings(ollama_binary="/opt/ollama"))
    row = page.rows["ollama_binary"]
    assert not row.restart.isVisibleTo(page)
    assert any("not started by this launcher" in label.text() for label in row.findChildren(QLabel))


@pytest.mark.parametrize("state", [ServerState.STOPPED, ServerState.NOT_INSTALLED])
def test_without_a_server_nothing_waits(
    make_page: Callable[..., SettingsPage], store: Store, make_status: MakeStatus, state: ServerState
) -> None:
    store.put(make_status(state, None))
    page = make_page()
    store.put(Settings(address="127.0.0.1:5000", appearance=Appearance.DARK))
    assert not any(row.restart.isVisibleTo(page) for row in page.rows.values())


# Search


@pytest.mark.parametrize(
    ("words", "found"),
    [
        pytest.param("dark", {"appearance"}, id="a choice"),
        pytest.param("OLLAMA_HOST", {"address"}, id="a variable"),
        pytest.param("window", {"appearance", "close_to_tray"}, id="a group"),
        pytest.param("tray closing", {"close_to_tray"}, id="two words"),
        pytest.param("", {field.name for field in fields(Settings)}, id="nothing"),
    ],
)
def test_settings_are_found_by_their_words(make_page: Callable[..., SettingsPage], words: str, found: set[str]) -> None:
    page = make_page()
    QTest.keyClicks(page.search_field, words)
    assert shown(page) == found


def test_no_hit_offers_all_again(make_page: Callable[..., SettingsPage]) -> None:
    page = make_page()
    QTest.keyClicks(page.search_field, "zebra")
    assert shown(page) == set()
    again = page.findChild(QPushButton, "show-all-settings-button")
    assert again is not None
    again.click()
    assert len(shown(page)) == len(DECLARATIONS)
    QTest.keyClicks(page.search_field, "zebra")
    QTest.keyClick(page.search_field, Qt.Key.Key_Escape)
    assert len(shown(page)) == len(DECLARATIONS)


# Editors


def test_installed_models_are_offered(make_page: Callable[..., SettingsPage], store: Store) -> None:
    page = make_page(Settings(default_model="qwen3:8b"))
    now = datetime.now(UTC)
    models = (InstalledModel(name, 1, name, now, None, None, None, None, None) for name in ("qwen3:8b", "a:1b"))
    store.put(Models(tuple(models), ()))
    combo = page.rows["default_model"].editor.field
    assert isinstance(combo, QComboBox)
    assert [combo.itemText(place) for place in range(combo.count())] == ["a:1b", "qwen3:8b"]
    assert line(page, "default_model").text() == "qwen3:8b"
    saving = Saving(page, store)
    choose(page, "default_model", "a:1b")
    assert saving.wished == [("default_model", "a:1b")]


def test_a_program_is_chosen_among_files(
    make_page: Callable[..., SettingsPage], store: Store, tmp_path: Any, qtbot: Any
) -> None:
    # There before the dialog is: Qt reads folders on a thread of its own, and what it has not read it does not accept.
    path = tmp_path / "ollama"
    path.write_text("")
    page = make_page()
    saving = Saving(page, store)
    browse = page.findChild(QPushButton, "browse-program-button")
    assert browse is not None
    browse.click()
    (dialog,) = page.findChildren(QFileDialog)
    qtbot.waitUntil(dialog.isVisible)
    dialog.setDirectory(str(tmp_path))
    field = dialog.findChild(QLineEdit, "fileNameEdit")
    listed = dialog.findChild(QAbstractItemView, "listView")
    assert field is not None
    assert listed is not None
    qtbot.waitUntil(lambda: listed.model().rowCount(listed.rootIndex()) == 1)
    field.setText(path.name)
    dialog.accept()
    assert saving.wished == [("ollama_binary", str(path))]
    assert line(page, "ollama_binary").text() == str(path)


def test_the_wheel_scrolls_the_page_and_not_a_value(make_page: Callable[..., SettingsPage], store: Store) -> None:
    page = make_page()
    saving = Saving(page, store)
    combo = page.rows["appearance"].editor.field
    wheel = QWheelEvent(
        QPointF(5, 5),
        combo.mapToGlobal(QPointF(5, 5)),
        QPoint(),
        QPoint(0, -120),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(combo, wheel)
    assert saving.wished == []


def test_a_narrow_page_puts_editors_under_their_words(
    make_page: Callable[..., SettingsPage], qapp: QApplication
) -> None:
    page = make_page()
    row = page.rows["appearance"]
    for width, below in ((900, False), (400, True), (900, False)):
        page.resize(width, 600)
        qapp.sendPostedEvents()
        assert (row.editor.y() > row.help.y()) is below


@pytest.mark.parametrize("width", range(380, 1000, 62))
def test_no_words_are_cut(make_page: Callable[..., SettingsPage], qapp: QApplication, store: Store, width: int) -> None:
    page = make_page(Settings(on_quit=OnQuit.LEAVE, default_model="qwen3:8b"), environ={"OLLAMA_HOST": "0.0.0.0"})
    QTest.keyClicks(line(page, "address"), "ftp://box")
    page.resize(width, 520)
    for _ in range(3):
        qapp.sendPostedEvents()
        qapp.processEvents()
    inside = page._scroll.widget()
    assert inside is not None
    assert inside.width() <= page._scroll.viewport().width()
    for label in page.findChildren(QLabel):
        if label.isVisible() and label.wordWrap():
            assert label.height() >= label.heightForWidth(label.width()), label.text()


# Everybody can use it


def test_everything_has_a_name(make_page: Callable[..., SettingsPage]) -> None:
    page = make_page()
    for kind in (QPushButton, QComboBox, QCheckBox):
        for widget in page.findChildren(kind):
            assert widget.objectName(), widget
            assert widget.accessibleName(), widget.objectName()
    names = [widget.objectName() for widget in page.findChildren(QPushButton)]
    assert len(names) == len(set(names))


def test_words_are_never_mark_up(make_page: Callable[..., SettingsPage]) -> None:
    page = make_page(environ={"OLLAMA_HOST": "<b>x</b>"})
    assert all(label.textFormat() is Qt.TextFormat.PlainText for label in page.findChildren(QLabel))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("two words", "two words", id="nothing to do"),
        pytest.param("hf.co/a", "hf.|co/|a", id="at what joins"),
        pytest.param("ends.", "ends.", id="not at the end"),
        pytest.param("x" * 30, "x" * 24 + "|" + "x" * 6, id="in a word without end"),
    ],
)
def test_long_words_may_be_broken(text: str, expected: str) -> None:
    assert breakable(text).replace("\u200b", "|") == expected


def test_an_address_for_this_run_alone_is_told(
    make_page: Callable[..., SettingsPage], store: Store, make_status: Any
) -> None:
    store.put(make_status())
    page = make_page(host="10.0.0.7:11434")
    assert note(page, "address") == "This run uses 10.0.0.7:11434, as --host says."
    assert page.rows["address"].editor.isEnabled(), "it can be set for the runs to come"
    store.put(Settings(address="127.0.0.1:9999"))
    assert note(page, "address") == "This run uses 10.0.0.7:11434, as --host says."
    assert not page.rows["address"].restart.isVisible(), "no restart would change it"
