"""What a person does with models and settings in the window, down to the simulated server and back."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLineEdit

from launcher.domain.server import ServerState
from launcher.loop import make_loop
from launcher.server.find import VARIABLE
from launcher.ui.dialogs import QuestionDialog
from launcher.ui.pages.models import ModelsPage
from launcher.ui.pages.settings import SettingsPage
from tests.cli.launched import Launched
from tests.support.logfail import ExpectLog
from tests.support.waiting import eventually
from tests.test_app import Open, choose, launched, window

__all__ = ["launched"]

pytestmark = [pytest.mark.anyio, pytest.mark.blocks_loop("pages are built, which on a busy machine takes longer")]

ONE, TWO = "llama3.2:1b", "nomic-embed-text:latest"


@pytest.fixture
def anyio_backend(qapp: QApplication) -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": lambda: make_loop(qapp)}


@pytest.fixture
def dialogs_open(expect_log: ExpectLog) -> None:
    """The offscreen platform says of each dialog that it has no window manager to tell its sizes to."""
    expect_log("propagateSizeHints")


async def models_page(opened: Open, *names: str) -> ModelsPage:
    """Open the page of a server that has these models."""
    await opened.reaches(ServerState.RUNNING)
    core = opened.launcher._wishes.core
    assert core is not None
    for name in names:
        async with contextlib.aclosing(core.client.pull(name)) as lines:
            async for _ in lines:
                pass
    await core.models()
    opened.launcher.window.show_page("models")
    page = opened.widget("models-page")
    assert isinstance(page, ModelsPage)
    await eventually(lambda: page.table_model.rowCount() == len(names), 10, "they are listed")
    return page


def loaded(opened: Open) -> set[str]:
    models = opened.store.models
    return {model.name for model in (models.loaded or ())} if models is not None else set()


async def question(opened: Open) -> QuestionDialog:
    await eventually(lambda: opened.launcher.window.findChildren(QuestionDialog), 10, "something is asked")
    return opened.launcher.window.findChildren(QuestionDialog)[0]


@pytest.mark.usefixtures("dialogs_open")
async def test_a_model_is_loaded_unloaded_and_deleted(launched: Launched) -> None:
    async with window() as opened:
        page = await models_page(opened, ONE, TWO)
        page.show_model(ONE)
        opened.click("load-button")
        await eventually(lambda: loaded(opened) == {ONE}, 20, "it is loaded")
        opened.click("unload-model-button")
        await eventually(lambda: loaded(opened) == set(), 20, "it is unloaded")
        opened.click("load-button")
        await eventually(lambda: loaded(opened) == {ONE}, 20, "it is loaded again")

        opened.click("delete-button")
        dialog = await question(opened)
        assert dialog.windowTitle() == f"Delete {ONE}?"
        QTest.keyClick(dialog.cancel_button, Qt.Key.Key_Escape)
        await eventually(lambda: not opened.launcher.window.findChildren(QuestionDialog), 10, "it was taken back")
        assert page.table_model.rowCount() == 2

        opened.click("delete-button")
        (await question(opened)).deed_button.click()
        await eventually(lambda: page.table_model.rowCount() == 1, 20, "it is gone from the table")
        assert loaded(opened) == set(), "and from memory"
        assert [entry.name for entry in page.selected] == [TWO], "the next one is selected"


@pytest.mark.usefixtures("dialogs_open")
async def test_several_go_at_once(launched: Launched) -> None:
    async with window() as opened:
        page = await models_page(opened, ONE, TWO)
        page.view.selectAll()
        opened.click("delete-button")
        dialog = await question(opened)
        assert dialog.deed_button.text().startswith("Delete 2 models, ")
        dialog.deed_button.click()
        await eventually(lambda: page.table_model.rowCount() == 0, 20, "there is none any more")
        assert opened.widget("download-first-button").isEnabled(), "the next step"


@pytest.mark.usefixtures("dialogs_open")
async def test_a_question_that_is_open_does_not_keep_the_launcher(launched: Launched) -> None:
    async with window() as opened:
        await models_page(opened, ONE)
        opened.click("delete-button")
        await question(opened)
        assert await opened.quits() == 0


async def test_what_is_no_ollama_is_refused_in_place(
    launched: Launched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE)  # it would win, and the field be off
    wrong = tmp_path / "wrong"
    wrong.write_text("#!/bin/sh\necho hello\n")
    wrong.chmod(0o755)
    async with window() as opened:
        opened.launcher.window.show_page("settings")
        page = opened.widget("settings-page")
        assert isinstance(page, SettingsPage)
        row = page.rows["ollama_binary"]
        field = row.editor.field
        assert isinstance(field, QLineEdit)
        QTest.keyClicks(field, str(wrong))
        QTest.keyClick(field, Qt.Key.Key_Return)
        await eventually(lambda: "does not answer as Ollama does" in row.note.text(), 20, row.note.text())
        settings = launched.config_dir / "settings.json"
        assert not settings.exists() or "ollama_binary" not in json.loads(settings.read_text())


async def test_the_default_model_is_loaded_from_the_first_page(launched: Launched) -> None:
    choose(launched, default_model=ONE)
    async with window() as opened:
        await models_page(opened, ONE)
        opened.launcher.window.show_page("server")
        opened.click("load-default-button")
        await eventually(lambda: loaded(opened) == {ONE}, 20, "it is loaded")
        await eventually(lambda: opened.words("unload-button") == "Unload", 10, "and can be let go")
        opened.click("unload-button")
        await eventually(lambda: loaded(opened) == set(), 20, "it is unloaded")
        assert opened.words("load-default-button") == f"Load {ONE}"
