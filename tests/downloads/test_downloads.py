"""The list of transfers, against a server that says what each story needs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

import pytest

from launcher.domain.names import InvalidModelName, ModelName
from launcher.domain.transfer import Phase, PlannedLayer, Transfer, Trouble
from launcher.downloads import Downloads
from launcher.downloads.service import JOINED_A_CLOSING_ONE_AT_MOST
from launcher.downloads.sizes import Sizes
from launcher.errors import LauncherError
from launcher.ollama import Client
from launcher.ollama.errors import START_IT
from tests.downloads.stub import PullStub, pull_stub

pytestmark = pytest.mark.anyio

MANIFEST = {"status": "pulling manifest"}
VERIFYING = {"status": "verifying sha256 digest"}
WRITING = {"status": "writing manifest"}
SUCCESS = {"status": "success"}


def layer(completed: int, *, total: int = 1000, digest: str = "big") -> dict[str, object]:
    line: dict[str, object] = {"status": f"pulling {digest}", "digest": f"sha256:{digest}", "total": total}
    return {**line, "completed": completed} if completed else line


class Shown:
    """Everything that was published, and a way to wait for what is not yet."""

    def __init__(self) -> None:
        self.snapshots: list[tuple[Transfer, ...]] = []
        self._came = asyncio.Event()

    def put(self, snapshot: tuple[Transfer, ...]) -> None:
        self.snapshots.append(snapshot)
        self._came.set()

    def of(self, model: str) -> list[Transfer]:
        return [transfer for snapshot in self.snapshots for transfer in snapshot if transfer.model == model]

    async def until(self, model: str, *phases: Phase) -> Transfer:
        async with asyncio.timeout(10):
            while not (found := self.of(model)) or found[-1].phase not in phases:
                self._came.clear()
                await self._came.wait()
            return found[-1]

    async def until_completed(self, model: str, completed_bytes: int) -> Transfer:
        async with asyncio.timeout(10):
            while not (found := self.of(model)) or found[-1].completed_bytes < completed_bytes:
                self._came.clear()
                await self._came.wait()
            return found[-1]


@asynccontextmanager
async def working(
    stub: PullStub,
    *,
    sizes: Sizes | None = None,
    stalled_after_s: float = 5.0,
    reopened_after_s: float = 75.0,
    first_line_within_s: float = 20.0,
) -> AsyncIterator[tuple[Downloads, Shown]]:
    shown = Shown()
    async with Client(stub.base_url) as client:
        downloads = Downloads(
            client,
            shown.put,
            sizes=sizes or _no_sizes,
            stalled_after_s=stalled_after_s,
            reopened_after_s=reopened_after_s,
            first_line_within_s=first_line_within_s,
        )
        work = asyncio.create_task(downloads.run())
        try:
            yield downloads, shown
        finally:
            work.cancel()
            await asyncio.wait({work})


async def _no_sizes(name: ModelName, insecure: bool) -> Iterable[PlannedLayer]:
    raise LauncherError("nobody knows")


async def test_one_pull_from_the_first_line_to_the_last() -> None:
    async with pull_stub() as stub, working(stub) as (downloads, shown):
        assert downloads.add("small").phase is Phase.QUEUED
        assert [transfer.phase for transfer in shown.of("small:latest")] == [Phase.QUEUED]
        stream = await stub.stream(0)
        assert stream.body["model"] == "small:latest"
        await stream.say(MANIFEST, layer(0), layer(500))
        assert (await shown.until_completed("small:latest", 500)).permille == 500
        await stream.say(VERIFYING, WRITING, SUCCESS)
        done = await shown.until("small:latest", Phase.DONE)
        assert (done.permille, done.completed_bytes, done.error) == (1000, 1000, "")


async def test_a_name_twice_is_one_transfer() -> None:
    async with pull_stub() as stub, working(stub) as (downloads, shown):
        downloads.add("small")
        downloads.add("Small:latest")
        downloads.add("library/small")
        await (await stub.stream(0)).say(MANIFEST, SUCCESS)
        await shown.until("small:latest", Phase.DONE)
        assert (len(stub.streams), len(downloads.transfers)) == (1, 1)


async def test_two_names_run_side_by_side() -> None:
    async with pull_stub() as stub, working(stub) as (downloads, shown):
        downloads.add("one")
        downloads.add("two")
        first, second = await stub.stream(0), await stub.stream(1)
        await second.say(MANIFEST, SUCCESS)
        await shown.until(f"{second.body['model']}", Phase.DONE)
        await first.say(MANIFEST, SUCCESS)
        await shown.until(f"{first.body['model']}", Phase.DONE)
        assert {first.body["model"], second.body["model"]} == {"one:latest", "two:latest"}


async def test_an_impossible_name_is_refused_at_once() -> None:
    async with pull_stub() as stub, working(stub) as (downloads, shown):
        with pytest.raises(InvalidModelName):
            downloads.add("a/b/c/d")
        assert (downloads.transfers, shown.snapshots) == ((), [])


async def test_cancel_closes_the_stream_and_the_next_goes_on() -> None:
    async with pull_stub() as stub, working(stub) as (downloads, shown):
        downloads.add("small")
        stream = await stub.stream(0)
        await stream.say(MANIFEST, layer(100), layer(400))
        await shown.until_completed("small:latest", 400)
        downloads.cancel("small")
        assert shown.of("small:latest")[-1].phase is Phase.PAUSED
        async with asyncio.timeout(5):
            await stream.closed.wait()
        downloads.add("small")
        again = await stub.stream(1)
        assert shown.of("small:latest")[-1].completed_bytes == 400
        await again.say(MANIFEST, layer(450), VERIFYING, SUCCESS)
        await shown.until("small:latest", Phase.DONE)


async def test_cancel_and_add_in_one_breath_is_one_new_stream() -> None:
    async with pull_stub() as stub, working(stub) as (downloads, shown):
        downloads.add("small")
        stream = await stub.stream(0)
        downloads.cancel("small")
        downloads.add("small")
        again = await stub.stream(1)
        assert stream.closed.is_set()
        await again.say(MANIFEST, SUCCESS)
        await shown.until("small:latest", Phase.DONE)
        assert len(stub.streams) == 2


async def test_one_of_the_last_time_says_that_what_came_is_kept() -> None:
    """Its size and its part are not known until it goes on: an empty bar alone would say that all is lost."""
    async with pull_stub() as stub, working(stub) as (downloads, shown):
        downloads.offer("small")
        offered = await shown.until("small:latest", Phase.PAUSED)
        assert (offered.permille, offered.hint) == (None, "What has come is kept: it goes on from there.")
        assert downloads.add("small").hint == ""
        stream = await stub.stream(0)
        await stream.say(MANIFEST, layer(1000), VERIFYING, WRITING, SUCCESS)
        assert (await shown.until("small:latest", Phase.DONE)).hint == ""


async def test_dismiss_takes_it_off_the_list_and_closes_its_stream() -> None:
    async with pull_stub() as stub, working(stub) as (downloads, shown):
        downloads.add("small")
        stream = await stub.stream(0)
        downloads.dismiss("small")
        assert (downloads.transfers, shown.snapshots[-1]) == ((), ())
        async with asyncio.timeout(5):
            await stream.closed.wait()
        downloads.dismiss("small")
        downloads.cancel("small")
        downloads.retry("small")


@pytest.mark.parametrize(
    ("text", "trouble"),
    [
        pytest.param("pull model manifest: file does not exist", Trouble.NO_SUCH_MODEL, id="unknown model"),
        pytest.param("write /m/blobs/sha256-1-partial: no space left on device", Trouble.NO_SPACE, id="disk full"),
        pytest.param("digest mismatch, file must be downloaded again: want a, got b", Trouble.DAMAGED, id="bad bytes"),
        pytest.param("EOF", Trouble.DAMAGED, id="empty sidecar"),
        pytest.param("max retries exceeded: unexpected EOF", Trouble.NO_NETWORK, id="flaky network"),
        pytest.param("dial tcp: lookup r on 192.0.2.53:53: no such host", Trouble.NO_NETWORK, id="offline"),
        pytest.param("something new", Trouble.OTHER, id="never seen"),
    ],
)
async def test_an_error_line_ends_it_with_a_reason(text: str, trouble: Trouble) -> None:
    async with pull_stub() as stub, working(stub) as (downloads, shown):
        downloads.add("small")
        stream = await stub.stream(0)
        await stream.say(MANIFEST, {"error": text})
        await stream.finish()
        ended = await shown.until("small:latest", Phase.FAILED)
        assert ended.trouble is trouble
        assert ended.error
        assert ended.hint
        assert text in ended.detail


async def test_a_failed_one_is_tried_again_and_forgets_its_error() -> None:
    async with pull_stub() as stub, working(stub) as (downloads, shown):
        downloads.add("small")
        stream = await stub.stream(0)
        await stream.say(MANIFEST, {"error": "something new"})
        await stream.finish()
        await shown.until("small:latest", Phase.FAILED)
        downloads.retry("small")
        assert (shown.of("small:latest")[-1].phase, shown.of("small:latest")[-1].error) == (Phase.QUEUED, "")
        await (await stub.stream(1)).say(MANIFEST, SUCCESS)
        done = await shown.until("small:latest", Phase.DONE)
        assert (done.error, done.hint, done.trouble) == ("", "", Trouble.NONE)


@pytest.mark.parametrize("how", ["cut", "finish"])
async def test_a_stream_that_ends_without_success_is_no_success(how: str) -> None:
    async with pull_stub() as stub, working(stub) as (downloads, shown):
        downloads.add("small")
        stream = await stub.stream(0)
        await stream.say(MANIFEST, layer(100), layer(1000))
        await (stream.cut() if how == "cut" else stream.finish())
        ended = await shown.until("small:latest", Phase.FAILED)
        assert (ended.trouble, ended.permille) == (Trouble.BROKEN_OFF, 999)
        # Whether the server has written down what it had is not known here.
        assert ("again" in ended.hint, "kept" in ended.hint, "paused" in ended.error) == (True, False, False)


async def test_a_server_that_is_not_there_is_told(free_port: int) -> None:
    async with working(PullStub(f"http://127.0.0.1:{free_port}")) as (downloads, shown):
        downloads.add("small")
        ended = await shown.until("small:latest", Phase.FAILED)
        assert ended.trouble is Trouble.NOT_REACHABLE
        assert ended.hint == START_IT


async def test_a_server_that_says_nothing_is_told() -> None:
    async with pull_stub() as stub, working(stub, first_line_within_s=0.05) as (downloads, shown):
        downloads.add("small")
        stream = await stub.stream(0)
        ended = await shown.until("small:latest", Phase.FAILED)
        assert ended.trouble is Trouble.NOT_REACHABLE
        assert stub.base_url in ended.error
        async with asyncio.timeout(5):
            await stream.closed.wait()


async def test_one_that_joins_a_pull_being_closed_is_tried_again() -> None:
    async with pull_stub() as stub, working(stub) as (downloads, shown):
        downloads.add("small")
        for number in range(2):
            stream = await stub.stream(number)
            await stream.say(MANIFEST, layer(400), {"error": "context canceled"})
            await stream.finish()
        await (await stub.stream(2)).say(MANIFEST, layer(450), SUCCESS)
        await shown.until("small:latest", Phase.DONE)
        assert Phase.FAILED not in {transfer.phase for transfer in shown.of("small:latest")}


async def test_one_that_is_closed_every_time_fails_in_the_end() -> None:
    async with pull_stub() as stub, working(stub) as (downloads, shown):
        downloads.add("small")
        for number in range(JOINED_A_CLOSING_ONE_AT_MOST + 1):
            stream = await stub.stream(number)
            await stream.say(MANIFEST, {"error": "context canceled"})
            await stream.finish()
        ended = await shown.until("small:latest", Phase.FAILED)
        assert "again" in ended.hint


async def test_an_unknown_model_of_another_registry_is_looked_for_there() -> None:
    async with pull_stub() as stub, working(stub) as (downloads, shown):
        downloads.add("hf.co/a/b")
        stream = await stub.stream(0)
        await stream.say(MANIFEST, {"error": "pull model manifest: file does not exist"})
        await stream.finish()
        ended = await shown.until("hf.co/a/b:latest", Phase.FAILED)
        assert ("hf.co" in ended.hint, "ollama.com" in ended.hint) == (True, False)


async def test_drain_closes_all_streams_and_leaves_all_resumable() -> None:
    async with pull_stub() as stub, working(stub) as (downloads, shown):
        downloads.add("one")
        downloads.add("two")
        streams = [await stub.stream(0), await stub.stream(1)]
        await streams[0].say(MANIFEST, layer(100), layer(400))
        await shown.until_completed(f"{streams[0].body['model']}", 400)
        await downloads.drain(2.0)
        assert {transfer.phase for transfer in downloads.transfers} == {Phase.PAUSED}
        assert {transfer.phase for transfer in shown.snapshots[-1]} == {Phase.PAUSED}
        async with asyncio.timeout(5):
            for stream in streams:
                await stream.closed.wait()
        await downloads.drain(2.0)


async def test_resume_goes_on_with_what_was_drained_and_nothing_else() -> None:
    async with pull_stub() as stub, working(stub) as (downloads, shown):
        downloads.add("one")
        await stub.stream(0)
        downloads.add("two")
        await stub.stream(1)
        downloads.cancel("one")
        await downloads.drain(2.0)
        downloads.resume()
        assert (await stub.stream(2)).body["model"] == "two:latest"
        assert shown.of("one:latest")[-1].phase is Phase.PAUSED


async def test_a_fault_in_asking_for_sizes_costs_only_the_sizes(expect_log: Callable[[str], None]) -> None:
    async def sizes(name: ModelName, insecure: bool) -> Iterable[PlannedLayer]:
        raise KeyError("a fault of ours")

    expect_log("sizes of small:latest failed")
    async with pull_stub() as stub, working(stub, sizes=sizes) as (downloads, shown):
        downloads.add("small")
        await (await stub.stream(0)).say(MANIFEST, layer(100), SUCCESS)
        assert (await shown.until("small:latest", Phase.DONE)).permille == 1000


async def test_the_end_of_the_work_leaves_all_resumable() -> None:
    async with pull_stub() as stub:
        async with working(stub) as (downloads, shown):
            downloads.add("small")
            stream = await stub.stream(0)
        async with asyncio.timeout(5):
            await stream.closed.wait()
        assert shown.of("small:latest")[-1].phase is Phase.PAUSED


async def test_what_is_added_before_the_work_begins_waits_for_it() -> None:
    async with pull_stub() as stub, Client(stub.base_url) as client:
        shown = Shown()
        downloads = Downloads(client, shown.put, sizes=_no_sizes)
        downloads.add("small")
        assert shown.of("small:latest")[-1].phase is Phase.QUEUED
        work = asyncio.create_task(downloads.run())
        await (await stub.stream(0)).say(MANIFEST, SUCCESS)
        await shown.until("small:latest", Phase.DONE)
        work.cancel()
        await asyncio.wait({work})


async def test_the_manifest_gives_the_total() -> None:
    async def sizes(name: ModelName, insecure: bool) -> Iterable[PlannedLayer]:
        assert (name.display, insecure) == ("small:latest", True)
        return [PlannedLayer("sha256:big", 1000), PlannedLayer("sha256:config", 1000)]

    async with pull_stub() as stub, working(stub, sizes=sizes) as (downloads, shown):
        downloads.add("small", insecure=True)
        stream = await stub.stream(0)
        assert stream.body["insecure"] is True
        await stream.say(MANIFEST, layer(100), layer(1000))
        told = await shown.until_completed("small:latest", 1000)
        assert (told.total_bytes, told.total_is_so_far, told.permille) == (2000, False, 500)


async def test_a_registry_that_does_not_answer_delays_nothing() -> None:
    asked = asyncio.Event()

    async def sizes(name: ModelName, insecure: bool) -> Iterable[PlannedLayer]:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    async with pull_stub() as stub, working(stub, sizes=sizes) as (downloads, shown):
        downloads.add("small")
        await (await stub.stream(0)).say(MANIFEST, layer(100), SUCCESS)
        await asked.wait()
        done = await shown.until("small:latest", Phase.DONE)
        assert done.permille == 1000


async def test_a_stall_shows_and_a_long_one_opens_the_stream_again() -> None:
    async with (
        pull_stub() as stub,
        working(stub, stalled_after_s=0.05, reopened_after_s=0.2) as (downloads, shown),
    ):
        downloads.add("small")
        stream = await stub.stream(0)
        await stream.say(MANIFEST, layer(100))
        stalled = await shown.until("small:latest", Phase.STALLED)
        assert (stalled.rate_bps, stalled.eta_s) == (None, None)
        again = await stub.stream(1)
        assert stream.closed.is_set()
        await again.say(MANIFEST, layer(150), VERIFYING, SUCCESS)
        await shown.until("small:latest", Phase.DONE)


async def test_many_lines_are_few_snapshots_and_the_last_one_comes() -> None:
    async with pull_stub() as stub, working(stub) as (downloads, shown):
        downloads.add("small")
        stream = await stub.stream(0)
        began_s = asyncio.get_running_loop().time()
        await stream.say(MANIFEST, *(layer(number, total=2001) for number in range(2000)))
        await shown.until_completed("small:latest", 1999)
        took_s = asyncio.get_running_loop().time() - began_s
        # The intent, the first line, and then one every tenth of a second.
        assert len(shown.snapshots) <= 3 + took_s / 0.1
        await stream.say(SUCCESS)
        await shown.until("small:latest", Phase.DONE)


async def test_equal_snapshots_are_published_once() -> None:
    async with pull_stub() as stub, working(stub) as (downloads, shown):
        downloads.add("small")
        await (await stub.stream(0)).say(MANIFEST, layer(100), *[layer(100)] * 50, SUCCESS)
        await shown.until("small:latest", Phase.DONE)
        assert all(before != after for before, after in zip(shown.snapshots, shown.snapshots[1:], strict=False))
