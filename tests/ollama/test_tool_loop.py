"""A model and its tools: who is told what, in which order, and where it ends."""

from __future__ import annotations

import asyncio
import inspect
import json
import threading
import weakref
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from launcher.errors import InvalidInput
from launcher.ollama import ChatAnswer, Client, Message, ModelNotFound
from launcher.ollama.tools.loop import Chat, run_tools, stream_tools
from launcher.ollama.tools.schema import BadArguments, NotATool, Tool
from launcher.ollama.tools.steps import Step, ToolEnded, ToolOutcome, ToolRun, ToolStarted, TooManyRounds

pytestmark = pytest.mark.anyio

QUESTION = Message(role="user", content="How is the weather?")
Line = dict[str, Any]


def text(content: str, **members: Any) -> Line:
    return {"message": {"role": "assistant", "content": content, **members}}


def calls(*wanted: tuple[str, dict[str, Any]], **members: Any) -> Line:
    found = [
        {"id": f"call_{index}", "function": {"index": index, "name": name, "arguments": arguments}}
        for index, (name, arguments) in enumerate(wanted)
    ]
    return {"message": {"role": "assistant", "content": "", "tool_calls": found, **members}}


class Scripted:
    """A server whose model says what the script says: one list of lines for each time it is asked."""

    def __init__(self, *answers: list[Line]) -> None:
        self.answers = list(answers)
        self.asked: list[dict[str, Any]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(json.loads(request.content))
        lines = [{"model": "m", "done": False, **line} for line in self.answers.pop(0)]
        lines[-1] |= {"done": True, "done_reason": "stop", "eval_count": 7}
        return httpx.Response(200, content="".join(json.dumps(line) + "\n" for line in lines).encode())

    def client(self) -> Client:
        return Client("http://127.0.0.1:1", transport=httpx.MockTransport(self))

    def told(self, asked: int) -> list[dict[str, Any]]:
        """Tell what tools have told the model when it was asked the so-manieth time."""
        return [message for message in self.asked[asked]["messages"] if message["role"] == "tool"]


async def run(server: Scripted, *tools: Tool | Callable[..., Any], **arguments: Any) -> ToolRun:
    async with server.client() as client:
        return await run_tools(client, "m", [QUESTION], tools, **arguments)


def weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"sunny in {city}"


async def add(a: int, b: int = 1) -> int:
    """Add two numbers."""
    return a + b


async def test_results_go_to_the_model_until_it_answers() -> None:
    server = Scripted(
        [text("", thinking="Let me "), text("One ", thinking="see."), calls(("weather", {"city": "Bern"}))],
        [calls(("add", {"a": "2", "b": 3})), text("")],
        [text("It is "), text("sunny.")],
    )
    steps: list[Step] = []
    run_ = await run(server, weather, add, on_step=steps.append, options={"num_ctx": 4096}, think=True)

    assert run_.answer.message.content == "It is sunny."
    assert (run_.answer.done_reason, run_.answer.eval_count) == ("stop", 7)
    assert [type(step) for step in steps] == [ToolStarted, ToolEnded] * 2
    assert [(step.round, step.name) for step in steps] == [(1, "weather"), (1, "weather"), (2, "add"), (2, "add")]
    assert run_.ended == (steps[1], steps[3])
    assert [(step.outcome, step.value, step.told) for step in run_.ended] == [
        (ToolOutcome.RETURNED, "sunny in Bern", "sunny in Bern"),
        (ToolOutcome.RETURNED, 5, "5"),
    ]
    first_calls = [{"id": "call_0", "function": {"name": "weather", "arguments": {"city": "Bern"}, "index": 0}}]
    assert server.asked[2]["messages"] == [
        {"role": "user", "content": "How is the weather?"},
        {"role": "assistant", "content": "One ", "thinking": "Let me see.", "tool_calls": first_calls},
        {"role": "tool", "content": "sunny in Bern", "tool_name": "weather", "tool_call_id": "call_0"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": "call_0", "function": {"name": "add", "arguments": {"a": "2", "b": 3}, "index": 0}}],
        },
        {"role": "tool", "content": "5", "tool_name": "add", "tool_call_id": "call_0"},
    ]
    for asked in server.asked:
        assert [tool["function"]["name"] for tool in asked["tools"]] == ["weather", "add"]
        assert (asked["options"], asked["think"]) == ({"num_ctx": 4096}, True)
    assert run_.messages[0] is QUESTION
    assert run_.messages[-1] == run_.answer.message
    assert len(run_.messages) == 6


async def test_a_call_on_the_last_line_and_without_an_id_counts() -> None:
    last = {"message": {"role": "assistant", "tool_calls": [{"function": {"name": "add", "arguments": {"a": 1}}}]}}
    server = Scripted([text("Well. "), last], [text("2")])
    run_ = await run(server, add)
    assert run_.ended[0].value == 2
    assert server.told(1) == [{"role": "tool", "content": "2", "tool_name": "add"}]


async def test_the_calls_of_one_answer_run_in_their_order_and_never_together() -> None:
    running: list[str] = []
    order: list[str] = []

    def work(what: str) -> str:
        running.append(what)
        assert len(running) == 1
        order.append(what)
        running.remove(what)
        return what

    async def await_work(what: str) -> str:
        running.append(what)
        await asyncio.sleep(0)
        assert len(running) == 1
        order.append(what)
        running.remove(what)
        return what

    wanted = [("await_work", {"what": "1"}), ("work", {"what": "2"}), ("await_work", {"what": "3"})]
    server = Scripted([calls(*wanted[:2]), calls(wanted[2])], [text("done")])
    run_ = await run(server, work, await_work)
    assert order == ["1", "2", "3"]
    assert [message["content"] for message in server.told(1)] == ["1", "2", "3"]
    assert {step.outcome for step in run_.ended} == {ToolOutcome.RETURNED}


def raises(city: str) -> str:
    raise LookupError(f"no station in {city}")


async def raises_later(city: str) -> str:
    await asyncio.sleep(0)
    raise LookupError(f"no station in {city}")


def validates(city: str) -> str:
    class Inner(BaseModel):
        number: int

    return str(Inner.model_validate({"number": city}))


def leaves(city: str) -> str:
    raise SystemExit(3)


async def leaves_later(city: str) -> str:
    raise SystemExit(3)


async def cancels_itself(city: str) -> str:
    raise asyncio.CancelledError


class Unspeakable:
    def __str__(self) -> str:
        raise OSError("no words")


def unspeakable(city: str) -> Unspeakable:
    return Unspeakable()


@pytest.mark.parametrize(
    ("tool", "told", "error"),
    [
        pytest.param(raises, "Error: LookupError: no station in Bern", LookupError, id="raises"),
        pytest.param(raises_later, "Error: LookupError: no station in Bern", LookupError, id="raises later"),
        pytest.param(validates, "Error: ValidationError: 1 validation error for Inner", ValueError, id="validates"),
        pytest.param(leaves, "Error: RuntimeError: it wanted to end the program, with code 3", RuntimeError, id="exit"),
        pytest.param(leaves_later, "Error: RuntimeError: it wanted to end the program", RuntimeError, id="exit later"),
        pytest.param(
            cancels_itself, "Error: CancelledError: the tool was cancelled", asyncio.CancelledError, id="cancelled"
        ),
        pytest.param(unspeakable, "Error: OSError: no words", OSError, id="a result without words"),
    ],
)
async def test_what_a_tool_raises_is_told_to_model_and_caller(
    tool: Callable[..., Any], told: str, error: type[BaseException]
) -> None:
    server = Scripted([calls((tool.__name__, {"city": "Bern"}))], [text("I could not.")])
    run_ = await run(server, tool)
    assert run_.answer.message.content == "I could not."
    [ended] = run_.ended
    assert ended.outcome is ToolOutcome.RAISED
    assert isinstance(ended.error, error)
    assert ended.told.startswith(told)
    assert server.told(1)[0]["content"] == ended.told


async def test_arguments_that_do_not_fit_are_told_and_nothing_is_called() -> None:
    called: list[int] = []

    def count(number: int) -> None:
        called.append(number)

    server = Scripted(
        [calls(("count", {"number": "many", "mood": "good"}))], [calls(("count", {"number": "3"}))], [text("done")]
    )
    run_ = await run(server, count)
    assert called == [3]
    assert [step.outcome for step in run_.ended] == [ToolOutcome.BAD_ARGUMENTS, ToolOutcome.RETURNED]
    assert isinstance(run_.ended[0].error, BadArguments)
    assert server.told(1)[0]["content"] == (
        "Error: the arguments do not fit: number: Input should be a valid integer, unable to parse string as an "
        "integer; mood: there is no such parameter."
    )
    assert server.told(2)[1]["content"] == "null"


async def test_an_unknown_tool_is_told_with_those_that_there_are() -> None:
    server = Scripted([calls(("wether", {"city": "Bern"}))], [text("Sorry.")])
    run_ = await run(server, weather, add)
    assert run_.ended[0].outcome is ToolOutcome.UNKNOWN_TOOL
    assert server.told(1)[0]["content"] == "Error: there is no tool 'wether'. The tools are: weather, add."


@pytest.fixture
def stuck() -> Iterator[tuple[Callable[[], str], threading.Event]]:
    """Make a function that does not return before the test is over, and tell when it has begun."""
    begun, over = threading.Event(), threading.Event()

    def wait() -> str:
        begun.set()
        over.wait(20)
        return "late"

    yield wait, begun
    over.set()


async def test_a_function_that_takes_too_long_is_given_up(stuck: tuple[Callable[[], str], threading.Event]) -> None:
    wait, begun = stuck

    async def sleep() -> None:
        await asyncio.sleep(20)

    server = Scripted([calls(("wait", {}), ("sleep", {}))], [text("Sorry.")])
    run_ = await run(server, wait, sleep, tool_timeout_s=0.05)
    assert begun.is_set()
    assert [step.outcome for step in run_.ended] == [ToolOutcome.TIMED_OUT] * 2
    assert server.told(1)[0]["content"] == "Error: it took longer than 0.05 s and was given up."
    assert run_.ended[0].error is None


async def test_a_function_has_a_thread_of_its_own_and_the_loop_goes_on() -> None:
    loop = asyncio.get_running_loop()
    met = asyncio.Event()

    def meet() -> str:
        # Deadlocks if it runs on the loop.
        asyncio.run_coroutine_threadsafe(meeting(), loop).result(10)
        return threading.current_thread().name

    async def meeting() -> None:
        met.set()

    run_ = await run(Scripted([calls(("meet", {}))], [text("")]), meet)
    assert met.is_set()
    assert run_.ended[0].value != threading.main_thread().name


class Forecast(BaseModel):
    at: datetime
    degrees: float


def returning(value: object) -> Tool:
    return Tool.of(lambda: value, name="f")


@pytest.mark.parametrize(
    ("value", "told"),
    [
        pytest.param("as it is", "as it is", id="text"),
        pytest.param("", "", id="nothing"),
        pytest.param(None, "null", id="None"),
        pytest.param([1, 2.5, True], "[1,2.5,true]", id="list"),
        pytest.param({"Zürich": "☀"}, '{"Zürich":"☀"}', id="dict"),
        pytest.param(
            Forecast(at=datetime(2026, 1, 2, tzinfo=UTC), degrees=3), '{"at":"2026-01-02T00:00:00Z","degrees":3.0}',
            id="model",
        ),
        pytest.param(b"\xff", "b'\\xff'", id="bytes"),
        pytest.param(slice(1), "slice(None, 1, None)", id="what JSON does not know"),
        pytest.param("half \ud83d", "half ?", id="half a character"),
    ],
)  # fmt: skip
async def test_a_result_is_told_as_text(value: object, told: str) -> None:
    server = Scripted([calls(("f", {}))], [text("")])
    run_ = await run(server, returning(value))
    assert server.told(1)[0]["content"] == told
    assert run_.ended[0].value == value
    assert run_.ended[0].left_out_bytes == 0


async def test_a_function_may_give_something_to_await() -> None:
    async def later() -> int:
        return 3

    def begin() -> Awaitable[int]:
        return later()

    run_ = await run(Scripted([calls(("begin", {}))], [text("")]), begin)
    assert (run_.ended[0].value, run_.ended[0].told) == (3, "3")


async def test_a_long_result_is_cut_with_a_note() -> None:
    server = Scripted([calls(("f", {}))], [text("")])
    run_ = await run(server, returning("ü" * 100), max_result_bytes=21)
    assert server.told(1)[0]["content"] == "ü" * 10 + "\n[cut here: 180 of 200 bytes are left out]"
    assert run_.ended[0].left_out_bytes == 180
    assert run_.ended[0].value == "ü" * 100


async def test_a_long_error_is_cut_too() -> None:
    def fail() -> None:
        raise ValueError("x" * 1000)

    run_ = await run(Scripted([calls(("fail", {}))], [text("")]), fail, max_result_bytes=30)
    assert len(run_.ended[0].told) < 100
    assert run_.ended[0].left_out_bytes == len("Error: ValueError: ") + 1000 - 30


async def test_too_many_rounds_end_with_the_messages_so_far() -> None:
    again = [calls(("add", {"a": 1}))]
    server = Scripted(again, again, [text("Hm. "), *again])
    with pytest.raises(TooManyRounds) as caught:
        await run(server, add, max_rounds=2)
    error = caught.value
    assert [step.value for step in error.ended] == [2, 2]
    assert [call.function.name for call in error.wanted] == ["add"]
    assert str(error) == "The model gave no answer within 2 rounds of tools."
    # They end with a result, so that another run can go on.
    server.answers = [[text("2")]]
    async with server.client() as client:
        run_ = await run_tools(client, "m", error.messages, [add])
    assert run_.answer.message.content == "2"
    roles = [message.role for message in run_.messages if isinstance(message, Message)]
    assert roles == ["user", "assistant", "tool", "assistant", "tool", "assistant"]


async def test_no_round_means_that_no_tool_runs() -> None:
    server = Scripted([calls(("raises", {"city": "Bern"}))])
    with pytest.raises(TooManyRounds) as caught:
        await run(server, raises, max_rounds=0)
    assert (caught.value.messages, caught.value.ended) == ((QUESTION,), ())


async def test_fewer_rounds_than_none_are_refused() -> None:
    server = Scripted()
    with pytest.raises(InvalidInput, match="max_rounds"):
        await run(server, weather, max_rounds=-1)
    assert server.asked == []


async def test_the_pieces_of_a_long_answer_are_not_kept() -> None:
    server = Scripted([text("word ")] * 300)
    held: list[weakref.ref[ChatAnswer]] = []
    async with server.client() as client, aclosing(stream_tools(client, "m", [QUESTION], [weather])) as steps:
        async for step in steps:
            if isinstance(step, ToolRun):
                assert step.answer.message.content == "word " * 300
            else:
                assert isinstance(step, ChatAnswer)
                held.append(weakref.ref(step))
                assert sum(piece() is not None for piece in held) <= 3
    assert len(held) == 300


async def test_a_conversation_may_be_mappings_and_stays_what_it_was() -> None:
    given = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Hi"}]
    async with Scripted([text("Hello")]).client() as client:
        run_ = await run_tools(client, "m", given, [weather])
    assert list(run_.messages[:2]) == given
    assert len(given) == 2


def test_all_that_a_chat_takes_can_be_passed_on() -> None:
    taken = set(inspect.signature(Client.stream_chat).parameters)
    assert set(Chat.__annotations__) == taken - {"self", "model", "messages", "tools"}


async def test_two_tools_of_one_name_and_no_tool_at_all_are_refused() -> None:
    server = Scripted()
    with pytest.raises(InvalidInput, match="Two tools have the name weather"):
        await run(server, weather, Tool.of(add, name="weather"))
    with pytest.raises(NotATool):
        await run(server, lambda city: city)
    assert server.asked == []


async def test_what_the_server_refuses_is_raised() -> None:
    def missing(request: httpx.Request) -> httpx.Response:
        return httpx.Response(404, json={"error": "model 'm' not found"})

    async with Client("http://127.0.0.1:1", transport=httpx.MockTransport(missing)) as client:
        with pytest.raises(ModelNotFound):
            await run_tools(client, "m", [QUESTION], [weather])


async def test_the_streaming_form_gives_pieces_and_steps_as_they_come() -> None:
    server = Scripted([text("One "), text("moment."), calls(("add", {"a": 1}))], [text("It is "), text("2.")])
    seen: list[object] = []
    async with server.client() as client, aclosing(stream_tools(client, "m", [QUESTION], [add])) as steps:
        async for step in steps:
            match step:
                case ChatAnswer():
                    seen.append(step.message.content)
                case ToolStarted() | ToolEnded():
                    seen.append((type(step).__name__, step.name))
                case ToolRun():
                    seen.append(step.answer.message.content)
    assert seen == [
        "One ", "moment.", "", ("ToolStarted", "add"), ("ToolEnded", "add"), "It is ", "2.", "It is 2.",
    ]  # fmt: skip


async def test_cancelling_reaches_the_tool_that_runs() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def sleep() -> None:
        try:
            begun.set()
            await asyncio.sleep(20)
        finally:
            ended.set()

    task = asyncio.create_task(run(Scripted([calls(("sleep", {}))]), sleep))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


async def test_cancelling_does_not_wait_for_a_thread(stuck: tuple[Callable[[], str], threading.Event]) -> None:
    wait, begun = stuck
    task = asyncio.create_task(run(Scripted([calls(("wait", {}))]), wait))
    assert await asyncio.to_thread(begun.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_tool_that_heeds_no_cancellation_is_left_to_itself() -> None:
    over = asyncio.Event()
    heard = 0

    async def stubborn() -> None:
        nonlocal heard
        while not over.is_set():
            try:
                await over.wait()
            except asyncio.CancelledError:
                heard += 1
        raise ValueError("nobody listens any more")

    run_ = await run(Scripted([calls(("stubborn", {}))], [text("Sorry.")]), stubborn, tool_timeout_s=0.01)
    assert (run_.ended[0].outcome, heard) == (ToolOutcome.TIMED_OUT, 1)
    over.set()
    for _ in range(3):
        await asyncio.sleep(0)
