"""The client that waits: the same methods, what ends its waiting, and that nothing of it is left behind."""

from __future__ import annotations

import asyncio
import gc
import inspect
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from mypy import api as mypy

from launcher.errors import InvalidInput
from launcher.ollama import (
    ChatAnswer,
    Client,
    CutStream,
    InvalidAddress,
    Message,
    ModelNotFound,
    NotRunning,
    SyncClient,
    TimedOut,
    ToolRun,
    sync,
)
from launcher.ollama.sync import Awaited
from tests.support.raw_server import STREAM_HEAD, Answer, RawServer, answering, chunk

QUESTION = [Message(role="user", content="Hello")]
ROOT = Path(__file__).parents[2]


def piece(content: str, **members: object) -> bytes:
    line = {"model": "m", "message": {"role": "assistant", "content": content}, "done": False, **members}
    return json.dumps(line).encode() + b"\n"


LAST = piece("", done=True, done_reason="stop")
# The server closes after it, and must say so: the client would use the connection again.
CLOSING_HEAD = STREAM_HEAD[:-2] + b"Connection: close\r\n\r\n"
WHOLE = CLOSING_HEAD + chunk(piece("Hello ") + piece("you.") + LAST) + b"0\r\n\r\n"


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    # One that starts others is for the whole program.
    left = {thread for thread in set(threading.enumerate()) - before if thread.name != "starter"}
    for thread in left:
        thread.join(5)
    assert [thread for thread in left if thread.is_alive()] == []


@pytest.fixture
def elsewhere() -> Iterator[BlockingPortal]:
    """Run servers in another thread: the one of the test waits."""
    with start_blocking_portal() as portal:
        yield portal


@contextmanager
def serving(elsewhere: BlockingPortal, answer: Answer) -> Iterator[RawServer]:
    server = elsewhere.call(lambda: RawServer(answer))
    with elsewhere.wrap_async_context_manager(server):
        yield server


class Endless:
    """A server that says one piece, then nothing more, and notes when the client has gone.

    With ``once`` it answers well from the second time on.
    """

    def __init__(self, head: bytes = STREAM_HEAD + chunk(piece("Hello ")), *, once: bool = False) -> None:
        self._head = head
        self._once = once
        self.gone = threading.Event()
        self.asked = threading.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._once and self.asked.is_set():
            await answering(WHOLE)(reader, writer)
            return
        writer.write(self._head)
        await writer.drain()
        self.asked.set()
        with suppress(ConnectionError):  # a reset, where something was left unread
            await reader.read()
        self.gone.set()


def read(stream: Iterator[ChatAnswer], into: list[str]) -> None:
    for answer in stream:
        into.append(answer.message.content)  # noqa: PERF401 - what came before an error counts


def answered(handler: Callable[[httpx.Request], httpx.Response]) -> SyncClient:
    return SyncClient("http://127.0.0.1:1", transport=httpx.MockTransport(handler))


# The two faces


def public(face: type) -> set[str]:
    return {name for name in vars(face) if not name.startswith("_")}


def test_both_faces_have_the_same_names() -> None:
    tools = {"run_tools", "stream_tools"}  # functions of the asynchronous client, methods here
    assert public(SyncClient) - tools == public(Client) - {"aclose"} | {"close"}


@pytest.mark.parametrize("name", sorted(public(Client) - {"aclose"}))
def test_both_faces_take_the_same(name: str) -> None:
    theirs, ours = vars(Client)[name], cast("Any", vars(SyncClient)[name])
    if isinstance(theirs, property):
        assert ours.fget.__annotations__ == theirs.fget.__annotations__
        assert ours.__doc__ == theirs.__doc__
        return
    assert isinstance(ours, Awaited)
    assert inspect.signature(ours) == inspect.signature(theirs)
    assert (ours.__name__, ours.__doc__) == (name, theirs.__doc__)
    # What it does must be one of the two things that can be waited for.
    assert inspect.iscoroutinefunction(theirs) or "AsyncGenerator" in theirs.__annotations__["return"]


def test_it_is_made_with_the_same_arguments() -> None:
    assert inspect.signature(SyncClient).parameters == inspect.signature(Client).parameters
    with pytest.raises(InvalidAddress):
        SyncClient("http://[")
    with pytest.raises(TypeError):
        SyncClient(nothing=3)  # type: ignore[call-arg]


def test_a_method_looks_like_one() -> None:
    with answered(lambda request: httpx.Response(200)) as client:
        assert client.show.__name__ == "show"
        assert list(inspect.signature(client.show).parameters) == ["name", "verbose", "timeout_s"]
        assert not inspect.iscoroutinefunction(client.show)
        assert SyncClient.is_running(client) is False
        assert client.base_url == "http://127.0.0.1:1"
        assert client.address.port == 1


TYPED = """
from typing import Generator
from typing_extensions import assert_type
from launcher.ollama import ChatAnswer, EmbedAnswer, Progress, SyncClient, Tags, ToolRun

def typed(client: SyncClient) -> None:
    assert_type(client.tags(timeout_s=3.0), Tags)
    assert_type(client.is_running(), bool)
    assert_type(client.delete("m"), None)
    assert_type(client.chat("m", [{"role": "user"}], think="low"), ChatAnswer)
    assert_type(client.stream_chat("m"), Generator[ChatAnswer, None, None])
    assert_type(client.pull("m", insecure=True), Generator[Progress, None, None])
    assert_type(client.embed("m", ["a", "b"]), EmbedAnswer)
    assert_type(client.run_tools("m", [], [print], think=True), ToolRun)
    with SyncClient("host", retries=3) as entered:
        assert_type(entered, SyncClient)
    client.tags(timeout_s="3")
    client.show()
    client.chat("m", tool=[])
    SyncClient(retries="3")
"""


def test_editors_and_checkers_know_parameters_and_results(tmp_path: Path) -> None:
    (tmp_path / "typed.py").write_text(TYPED)
    # With the project's own settings, and so with what the last run of mypy has kept.
    wrong, problems, _ = mypy.run([f"--config-file={ROOT / 'pyproject.toml'}", str(tmp_path / "typed.py")])
    assert problems == ""
    lines = [int(line.split(":")[1]) for line in wrong.splitlines() if ": error:" in line]
    count = TYPED.count("\n")
    assert lines == [count - 3, count - 2, count - 1, count], wrong


# Calls


def test_calls_give_what_is_awaited() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"models": [{"name": "a"}], "version": "0.33.0"})

    with answered(handler) as client:
        assert [model.name for model in client.tags().models] == ["a"]
        assert client.version(timeout_s=5).version == "0.33.0"
        assert client.version().simulated is False


def test_calls_raise_what_is_raised() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        return httpx.Response(404, json={"error": "model 'm' not found"})

    with answered(handler) as client:
        with pytest.raises(ModelNotFound):
            client.show("m")
        with pytest.raises(ModelNotFound):
            next(client.stream_chat("m", QUESTION))
        with pytest.raises(TypeError):
            client.show()  # type: ignore[call-arg]
    with SyncClient("http://127.0.0.1:9", retries=0) as client, pytest.raises(NotRunning):
        client.version()


def test_a_timeout_of_a_call_is_not_one_of_the_waiting(elsewhere: BlockingPortal) -> None:
    with serving(elsewhere, Endless(b"")) as server, SyncClient(server.address) as client, pytest.raises(TimedOut):
        client.version(timeout_s=0.05)


def test_where_a_wait_cannot_be_interrupted_it_wakes_now_and_then(
    elsewhere: BlockingPortal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows, where Ctrl-C would be seen only after the wait for a lock."""
    monkeypatch.setattr(sync, "_WAKE_S", 0.01)
    asked = 0

    async def slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0.1)
        await answering(WHOLE)(reader, writer)

    with serving(elsewhere, slowly) as server, SyncClient(server.address) as client:
        assert sum(1 for _ in client.stream_chat("m", QUESTION)) == 3
        assert client.is_running() is False
        with pytest.raises(TimedOut):
            client.version(timeout_s=0.03)
    assert asked == 3


def test_what_ends_at_the_end_of_a_wait_is_not_late() -> None:
    class Ending(Future[int]):
        def result(self, timeout: float | None = None) -> int:
            if not self.done():
                self.set_result(5)
                raise TimeoutError
            return super().result(timeout)

    work = object.__new__(sync._Work)
    work._future = Ending()
    assert work.result() == 5


def test_what_streams_is_a_generator(elsewhere: BlockingPortal) -> None:
    with serving(elsewhere, answering(WHOLE)) as server, SyncClient(server.address) as client:
        stream = client.stream_chat("m", QUESTION)
        assert isinstance(stream, Generator)
        assert server.heads == []
        assert [piece.message.content for piece in stream] == ["Hello ", "you.", ""]
        assert list(stream) == []


def test_an_error_comes_after_all_that_came_before_it(elsewhere: BlockingPortal) -> None:
    cut = STREAM_HEAD + b"".join(chunk(piece(str(number))) for number in range(30))
    seen: list[str] = []
    with (
        serving(elsewhere, answering(cut)) as server,
        SyncClient(server.address) as client,
        pytest.raises(CutStream) as caught,
    ):
        read(client.stream_chat("m", QUESTION), seen)
    assert seen == [str(number) for number in range(30)]
    assert caught.value.partial == "".join(seen)


@pytest.mark.blocks_loop("30 MB at once, and three threads that compute share one interpreter lock")
def test_one_who_reads_slowly_is_waited_for(elsewhere: BlockingPortal) -> None:
    """Memory is bounded: the server is stopped by its full socket while nobody asks for more."""
    sent = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(STREAM_HEAD)
        for _ in range(300):
            writer.write(chunk(piece("x" * 100_000)))
            await writer.drain()
            sent += 1
        writer.write(chunk(LAST) + b"0\r\n\r\n")

    with serving(elsewhere, answer) as server, SyncClient(server.address) as client:
        stream = client.stream_chat("m", QUESTION)
        next(stream)
        with SyncClient("http://127.0.0.1:9", retries=0) as other, pytest.raises(NotRunning):
            other.version()
        assert sent < 200
        assert sum(1 for _ in stream) == 300


@pytest.mark.parametrize("way", ["break", "close", "closing", "error", "forgotten"])
def test_leaving_a_stream_ends_it_on_the_server(elsewhere: BlockingPortal, way: str) -> None:
    endless = Endless()
    with serving(elsewhere, endless) as server, SyncClient(server.address) as client:
        if way == "break":
            for answer in client.stream_chat("m", QUESTION):
                assert answer.message.content == "Hello "
                break
        elif way == "close":
            stream = client.stream_chat("m", QUESTION)
            next(stream)
            stream.close()
        elif way == "closing":
            with closing(client.stream_chat("m", QUESTION)) as stream:
                next(stream)
        elif way == "error":
            with pytest.raises(AttributeError):
                read(client.stream_chat("m", QUESTION), cast("list[str]", None))
            gc.collect()
        else:
            next(client.stream_chat("m", QUESTION))
        assert endless.gone.wait(5)


# The end


def interrupt_when(asked: threading.Event) -> None:
    def interrupt() -> None:
        asked.wait(10)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()


@pytest.fixture
def ctrl_c(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("streams", [False, True], ids=["call", "stream"])
def test_ctrl_c_cancels_what_is_waited_for(elsewhere: BlockingPortal, streams: bool) -> None:
    endless = Endless(once=True)
    with serving(elsewhere, endless) as server, SyncClient(server.address) as client:
        interrupt_when(endless.asked)
        with pytest.raises(KeyboardInterrupt):
            read(client.stream_chat("m", QUESTION), []) if streams else client.chat("m", QUESTION)
        assert endless.gone.wait(5)
        # The client itself is as good as before.
        assert sum(1 for _ in client.stream_chat("m", QUESTION)) == 3


def test_after_the_end_there_is_a_sentence() -> None:
    client = answered(lambda request: httpx.Response(200, json={"models": []}))
    stream = client.stream_chat("m", QUESTION)
    client.close()
    client.close()
    for use in (client.tags, lambda: client.pull("m"), lambda: next(stream)):
        with pytest.raises(InvalidInput, match="This client is closed"):
            use()


def test_closing_ends_what_another_thread_waits_for(elsewhere: BlockingPortal) -> None:
    endless = Endless()
    outcomes: queue.SimpleQueue[BaseException] = queue.SimpleQueue()

    def wait(method: Callable[[], object]) -> None:
        try:
            method()
        except InvalidInput as error:
            outcomes.put(error)

    with serving(elsewhere, endless) as server:
        client = SyncClient(server.address)
        waiting = [
            threading.Thread(target=wait, args=(lambda: client.chat("m", QUESTION),)),
            threading.Thread(target=wait, args=(lambda: list(client.stream_chat("m", QUESTION)),)),
        ]
        for thread in waiting:
            thread.start()
        while len(server.heads) < 2:
            endless.asked.wait(0.01)
        client.close()
        for thread in waiting:
            thread.join(5)
        assert [str(outcomes.get(timeout=5)) for _ in waiting] == ["This client is closed."] * 2


def test_one_that_nobody_has_any_more_ends() -> None:
    before = threading.active_count()
    client = answered(lambda request: httpx.Response(200, json={"models": []}))
    client.tags()
    assert threading.active_count() == before + 1
    del client
    gc.collect()
    assert threading.active_count() == before


def test_one_lives_as_long_as_its_stream(elsewhere: BlockingPortal) -> None:
    with serving(elsewhere, answering(WHOLE)) as server:
        stream = SyncClient(server.address).stream_chat("m", QUESTION)
        gc.collect()
        assert [piece.message.content for piece in stream] == ["Hello ", "you.", ""]
        assert SyncClient(server.address).is_running() is False


def test_a_program_ends_that_closes_nothing(elsewhere: BlockingPortal) -> None:
    code = (
        "import sys\n"
        "from launcher.ollama import SyncClient\n"
        "client = SyncClient(sys.argv[1])\n"
        "stream = client.stream_chat('m', [{'role': 'user', 'content': 'Hello'}])\n"
        "print(next(stream).message.content)\n"
    )
    endless = Endless()
    with serving(elsewhere, endless) as server:
        run = subprocess.run(
            [sys.executable, "-W", "error", "-c", code, server.address],
            capture_output=True, text=True, timeout=30, check=False, cwd=ROOT,
        )  # fmt: skip
        assert (run.returncode, run.stdout, run.stderr) == (0, "Hello \n", "")
        assert endless.gone.wait(5)


@pytest.mark.skipif(sys.platform == "win32", reason="has no fork")
def test_a_fork_is_told_to_make_its_own() -> None:
    code = (
        "import os, sys\n"
        "from launcher.ollama import SyncClient\n"
        "client = SyncClient('http://127.0.0.1:9')\n"
        "client.is_running()\n"
        "if child := os.fork():\n"
        "    sys.exit(os.waitpid(child, 0)[1])\n"
        "try:\n"
        "    client.is_running()\n"
        "except Exception as error:\n"
        "    print(error)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert (run.returncode, run.stdout) == (0, "This client belongs to another process.\n")


# Threads and loops


@pytest.mark.anyio
async def test_it_works_where_a_loop_runs() -> None:
    with answered(lambda request: httpx.Response(200, json={"models": []})) as client:
        assert client.tags().models == ()


def test_two_at_once_and_several_threads() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"version": request.headers["X-Name"]})

    def made(name: str) -> SyncClient:
        return SyncClient("http://127.0.0.1:1", headers={"X-Name": name}, transport=httpx.MockTransport(handler))

    answers: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()

    def ask(name: str, client: SyncClient) -> None:
        for _ in range(20):
            answers.put((name, client.version().version))

    with made("a") as first, made("b") as second:
        threads = [threading.Thread(target=ask, args=pair) for pair in [("a", first), ("b", second)] * 2]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
    pairs = [answers.get() for _ in range(80)]
    assert all(asked == answer for asked, answer in pairs)
    assert answers.empty()


def calls_a_tool_first(request: httpx.Request) -> httpx.Response:
    if request.method == "GET":
        return httpx.Response(200, text="Ollama is running")
    asked = json.loads(request.content)
    if asked["messages"][-1]["role"] == "tool":
        return httpx.Response(200, content=piece(asked["messages"][-1]["content"], done=True))
    call = {"function": {"name": "look_up", "arguments": {"word": "a"}}}
    line = {"message": {"role": "assistant", "content": "", "tool_calls": [call]}, "done": True}
    return httpx.Response(200, content=json.dumps(line).encode() + b"\n")


def test_tools_may_use_the_client_and_have_threads_of_their_own() -> None:
    with answered(calls_a_tool_first) as client:

        def look_up(word: str) -> str:
            return f"{word} {client.is_running()} {threading.current_thread() is threading.main_thread()}"

        run = client.run_tools("m", QUESTION, [look_up])
        assert run.answer.message.content == "a True False"
        steps = list(client.stream_tools("m", QUESTION, [look_up]))
        assert isinstance(steps[-1], ToolRun)


def look_up(word: str) -> str:
    return word


def test_a_callback_must_not_wait_for_its_client() -> None:
    with answered(calls_a_tool_first) as client:

        def ask_again(step: object) -> None:
            client.tags()

        with pytest.raises(InvalidInput, match="A callback of a client must not wait for that client"):
            client.run_tools("m", QUESTION, [look_up], on_step=ask_again)
