"""Deleting, against the simulated server: asked first, unloaded first, told one by one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from launcher.actions.ask import Refuse
from launcher.actions.delete_models import Deletion, NotDeleted, ask_and_delete, failure_of, question_of
from launcher.core import Core, open_core
from launcher.domain.models import InstalledModel, LoadedModel, Models, freed_at_most_bytes, on_disk_at_most_bytes
from launcher.domain.questions import DeleteModels, Question
from launcher.errors import LauncherError
from tests.support.demo_server import DemoServer

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.blocks_loop("starting a process waits for a processor, up to 200 ms on a busy machine"),
]

ONE, TWO = "llama3.2:1b", "nomic-embed-text:latest"


class Answering:
    """A person who answers; what they were asked is kept. ``meanwhile`` happens while they think."""

    def __init__(self, answer: bool, meanwhile: Callable[[], Awaitable[object]] | None = None) -> None:
        self.asked: list[Question] = []
        self._answer = answer
        self._meanwhile = meanwhile

    async def confirm(self, question: Question) -> bool:
        self.asked.append(question)
        if self._meanwhile is not None:
            await self._meanwhile()
        return self._answer

    async def choose_program(self, start: str) -> str | None:
        raise AssertionError("nobody is to be asked for a program")


@asynccontextmanager
async def with_models(folder: Path, *names: str) -> AsyncIterator[tuple[DemoServer, Core]]:
    async with DemoServer(folder) as server, open_core(server.base_url) as core:
        for name in names:
            async for _ in core.client.pull(name):
                pass
        yield server, core


async def installed_names(core: Core) -> set[str]:
    return {model.name for model in (await core.models()).installed or ()}


async def test_a_loaded_model_leaves_memory_and_then_the_disk(tmp_path: Path) -> None:
    async with with_models(tmp_path, ONE, TWO) as (_, core):
        await core.client.load(ONE)
        ask, told = Answering(True), list[tuple[str, bool]]()
        deletions = await ask_and_delete(core, ask, [ONE], busy=lambda name, busy: told.append((name, busy)))
        assert deletions == (Deletion(ONE),)
        assert told == [(ONE, True), (ONE, False)]
        (question,) = ask.asked
        assert (question.names, question.loaded) == ((ONE,), (ONE,))
        assert question.freed_at_most_bytes > 0
        models = core.library.models
        assert models.loaded == (), "its runner would stay for ever"
        assert [model.name for model in models.installed or ()] == [TWO]


async def test_nothing_happens_without_consent(tmp_path: Path) -> None:
    async with with_models(tmp_path, ONE) as (_, core):
        assert await ask_and_delete(core, Answering(False), [ONE]) == ()
        assert await ask_and_delete(core, Refuse(), [ONE]) == ()
        assert await installed_names(core) == {ONE}


async def test_nobody_is_asked_about_what_is_not_there(tmp_path: Path) -> None:
    async with with_models(tmp_path, ONE) as (_, core):
        ask = Answering(True)
        assert await ask_and_delete(core, ask, ["nope:latest"]) == ()
        assert ask.asked == []


async def test_what_somebody_else_deleted_meanwhile_is_deleted(tmp_path: Path) -> None:
    async with with_models(tmp_path, ONE, TWO) as (_, core):
        ask = Answering(True, lambda: core.client.delete(ONE))
        assert await ask_and_delete(core, ask, [ONE, TWO]) == (Deletion(ONE), Deletion(TWO))
        assert await installed_names(core) == set()


async def test_a_server_that_is_gone_ends_it(tmp_path: Path) -> None:
    async with with_models(tmp_path, ONE, TWO) as (server, core):
        (deletion,) = await ask_and_delete(core, Answering(True, server.stop), [ONE, TWO])
        assert deletion.error is not None
        failure = failure_of([deletion])
        assert isinstance(failure, NotDeleted)
        assert ONE in failure.title


async def test_copies_give_nothing_back_until_the_last_one_goes(tmp_path: Path) -> None:
    async with with_models(tmp_path, ONE) as (_, core):
        await core.client.copy(ONE, "mine:latest")
        models = await core.models()
        whole = question_of(models, [ONE, "mine:latest"]).freed_at_most_bytes
        assert question_of(models, ["mine:latest"]).freed_at_most_bytes == 0
        assert whole == (models.installed or ())[0].size_bytes


def model(name: str, size_bytes: int, digest: str) -> InstalledModel:
    return InstalledModel(name, size_bytes, digest, datetime.now(UTC), None, None, None, None, None)


def test_what_comes_back_is_counted_once() -> None:
    models = (model("a", 5, "x"), model("b", 5, "x"), model("c", 7, "y"), model("d", 1, ""), model("e", 2, ""))
    assert on_disk_at_most_bytes(models) == 15
    assert freed_at_most_bytes(models, {"a"}) == 0
    assert freed_at_most_bytes(models, {"a", "b"}) == 5
    assert freed_at_most_bytes(models, {"a", "c"}) == 7
    assert freed_at_most_bytes(models, ()) == 0


def test_a_question_names_each_model_once_and_only_what_is_there() -> None:
    loaded = (LoadedModel("a", 5, 5, None, None, "x"), LoadedModel("c", 7, 0, None, None, "y"))
    models = Models((model("a", 5, "x"), model("b", 6, "z"), model("c", 7, "y")), loaded)
    assert question_of(models, ["b", "a", "b", "nope"]) == DeleteModels(("b", "a"), 11, ("a",))
    assert question_of(Models(None, None), ["a"]) == DeleteModels((), 0)


def test_failures_become_one_error() -> None:
    broken = LauncherError("The disk is broken.", hint="Mend it.", detail="EIO")
    assert failure_of([Deletion("a"), Deletion("b")]) is None
    one = failure_of([Deletion("a"), Deletion("b", broken)])
    assert one is not None
    assert (one.title, one.hint, one.detail) == ("b could not be deleted. The disk is broken.", "Mend it.", "EIO")
    two = failure_of([Deletion("a", broken), Deletion("b", broken), Deletion("c")])
    assert two is not None
    assert two.title == "2 of 3 models could not be deleted."
    assert two.detail.splitlines() == ["a: The disk is broken.", "b: The disk is broken."]
