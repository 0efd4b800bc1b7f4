"""The pictures of the window lie there whole, and what they show is in the widgets, not only in the pixels."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import QAbstractItemModel, Qt
from PySide6.QtGui import QColor, QImage
from PySide6.QtWidgets import QAbstractButton, QAbstractItemView, QLabel, QLineEdit, QPlainTextEdit, QWidget

from launcher.domain.models import Models
from launcher.ui.main_window import MainWindow
from launcher.ui.phrases import phase_phrase, server_phrase
from launcher.ui.store import Store
from launcher.ui.theme import Theme
from tests.support.screenshots import PATH, ROOT, load

shots = load()

MOST_BYTES = 150_000
MOST_BYTES_OF_ALL = 3_000_000
FEWEST_COLORS = 24
NAMES = [f"{scene.name}-{look.name}.png" for scene in shots.SCENES for look in shots.LOOKS]


@pytest.fixture
def window(store: Store, theme: Theme, qtbot) -> Iterator[MainWindow]:
    window: MainWindow = shots.make_window(store, theme)
    qtbot.addWidget(window)
    window.resize(1040, 700)
    window.show()
    yield window
    window.hide()


def words_of(widget: QWidget) -> str:
    """All that a person can read in a widget, one text a line."""
    found: list[str] = []
    for child in (widget, *widget.findChildren(QWidget)):
        if not child.isVisible():
            continue
        if isinstance(child, QLabel | QAbstractButton | QLineEdit):
            found.append(child.text())
        elif isinstance(child, QPlainTextEdit):
            found.append(child.toPlainText())
        elif isinstance(child, QAbstractItemView) and child.model() is not None:
            found += cells_of(child.model())
        found.append(child.accessibleName())
    return "\n".join(found)


def cells_of(model: QAbstractItemModel) -> list[str]:
    indexes = [model.index(row, column) for row in range(model.rowCount()) for column in range(model.columnCount())]
    return [str(index.data()) for index in indexes]


def ground(image: QImage) -> QColor:
    """The colour of the page, where nothing stands."""
    return image.pixelColor(image.width() // 2, 3)


# --- the files --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scene", shots.SCENES, ids=lambda scene: scene.name)
@pytest.mark.parametrize("look", shots.LOOKS, ids=lambda look: look.name)
def test_a_picture_is_whole_and_not_large(scene, look) -> None:
    path = shots.OUT / f"{scene.name}-{look.name}.png"
    image = QImage(str(path)).convertToFormat(QImage.Format.Format_RGB32)
    assert (image.width(), image.height()) == (look.width * look.scale, look.height * look.scale)
    assert path.stat().st_size <= MOST_BYTES
    assert len(set(memoryview(image.constBits()).cast("I"))) >= FEWEST_COLORS


@pytest.mark.parametrize("scene", shots.SCENES, ids=lambda scene: scene.name)
def test_light_is_light_and_dark_is_dark(scene) -> None:
    light, dark = (QImage(str(shots.OUT / f"{scene.name}-{look}.png")) for look in ("light", "dark"))
    assert ground(light).lightness() > 200
    assert ground(dark).lightness() < 60


def test_each_page_is_there_in_each_look_and_nothing_else() -> None:
    files = sorted(path.name for path in shots.OUT.iterdir())
    assert files == sorted(NAMES)
    assert sum((shots.OUT / name).stat().st_size for name in files) <= MOST_BYTES_OF_ALL


def test_the_readme_shows_pictures_that_exist() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = re.findall(r"resources/screenshots/([\w.-]+)", readme)
    assert shown
    assert set(shown) <= set(NAMES)


def test_one_command_draws_them(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, str(PATH), "--out", str(tmp_path), "--look", "small"],
        env={name: value for name, value in os.environ.items() if not name.startswith("QT_")},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert {path.name for path in tmp_path.iterdir()} == {name for name in NAMES if name.endswith("-small.png")}
    drawn = QImage(str(tmp_path / "server-small.png"))
    assert drawn.size() == QImage(str(shots.OUT / "server-small.png")).size()


# --- what they show ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scene", shots.SCENES, ids=lambda scene: scene.name)
def test_the_state_stands_in_words_on_every_page(window: MainWindow, store: Store, scene) -> None:
    shots.show_scene(window, store, scene)
    phrase = server_phrase(scene.server, scene.models or Models(None, None))
    assert phrase.footer in words_of(window.footer)
    assert window.page == scene.page
    if scene.page == "server":
        assert phrase.title in words_of(window.page_widget("server"))


def test_the_models_stand_in_the_table_and_in_memory(window: MainWindow, store: Store, qtbot) -> None:
    shots.show_scene(window, store, next(scene for scene in shots.SCENES if scene.name == "models"))
    page = window.page_widget("models")
    qtbot.waitUntil(lambda: "qwen3:8b" in words_of(page))
    words = words_of(page)
    for model in shots.INSTALLED:
        assert model.name in words
    assert "Loaded" in words
    window.show_page("server")
    words = words_of(window.page_widget("server"))
    for loaded in shots.LOADED:
        assert loaded.name in words


def test_each_download_tells_its_phase(window: MainWindow, store: Store, qtbot) -> None:
    shots.show_scene(window, store, next(scene for scene in shots.SCENES if scene.name == "downloads"))
    page = window.page_widget("downloads")
    model = page.view.model()
    qtbot.waitUntil(lambda: model.rowCount() == len(shots.TRANSFERS))
    spoken = [str(model.index(row, 0).data(Qt.ItemDataRole.AccessibleTextRole)) for row in range(model.rowCount())]
    for transfer, words in zip(shots.TRANSFERS, spoken, strict=True):
        assert transfer.model in words
        assert phase_phrase(transfer.phase).words in words


def test_the_log_and_the_settings_show_what_they_were_given(window: MainWindow, store: Store, qtbot) -> None:
    scene = next(scene for scene in shots.SCENES if scene.name == "log")
    shots.show_scene(window, store, scene)
    qtbot.waitUntil(lambda: shots.LOG_LINES[-1] in words_of(window.page_widget("log")))
    window.show_page("settings")
    assert shots.SETTINGS.default_model in words_of(window.page_widget("settings"))
