"""The conversation of a model and its tools: ask, run what it calls, tell it the results, until it answers.

The calls of one answer run one after another, in the order in which the model gave them: what they do to the world
then happens in that order, and a function never runs beside itself. A function that is not a coroutine runs on a
thread, so that it cannot stop the loop; one that takes too long is left to itself there, since a thread cannot be
ended, and its result is dropped.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from io import StringIO
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict, Unpack

from pydantic import TypeAdapter

from launcher.errors import InvalidInput
from launcher.ollama.client import Client
from launcher.ollama.requests import Format, Options, Think
from launcher.ollama.tools.schema import BadArguments, Tool
from launcher.ollama.tools.steps import Said, Step, ToolEnded, ToolOutcome, ToolRun, ToolStarted, TooManyRounds
from launcher.ollama.wire.inference import ChatAnswer, Message, ToolCall
from launcher.tasks import run_blocking

if TYPE_CHECKING:
    from launcher.ollama.rescue import Recovery

MAX_ROUNDS = 8
TOOL_TIMEOUT_S = 60.0
MAX_RESULT_BYTES = 32 * 1024
"""Some 8,000 tokens: two of them fill the context that a small machine has."""

_CANCEL_GRACE_S = 0.5
_ANYTHING: TypeAdapter[Any] = TypeAdapter(Any)

Function: TypeAlias = Tool | Callable[..., Any]
"""A function, or what :meth:`Tool.of` made of one."""


class Chat(TypedDict, total=False):
    """What is passed on to every :meth:`Client.stream_chat` of a run; see there."""

    format: Format | None
    options: Options | Mapping[str, Any] | None
    think: Think | None
    keep_alive: float | str | None
    logprobs: bool | None
    top_logprobs: int | None
    truncate: bool | None
    shift: bool | None
    recover: Recovery | bool | None
    silence_s: float | None


async def run_tools(
    client: Client,
    model: str,
    messages: Sequence[Said],
    tools: Sequence[Function],
    *,
    max_rounds: int = MAX_ROUNDS,
    tool_timeout_s: float = TOOL_TIMEOUT_S,
    max_result_bytes: int = MAX_RESULT_BYTES,
    on_step: Callable[[Step], object] | None = None,
    **chat: Unpack[Chat],
) -> ToolRun:
    """Have a model answer with the help of functions.

    ::

        def weather(city: str) -> str:
            \"\"\"Tell the weather in a city.\"\"\"
            return "sunny"

        run = await run_tools(client, "qwen3:8b", [Message(role="user", content="Shall I cycle in Bern?")], [weather])
        print(run.answer.message.content)

    Functions may be plain or coroutine functions. What goes wrong with a call is told to the model, which may try
    again, and to the caller as a :class:`ToolEnded`, by ``on_step`` at once and in the result: an unknown tool,
    arguments that do not fit, what the function raises, more than ``tool_timeout_s``. Of a result the model is told
    the first ``max_result_bytes``. ``max_rounds`` is how often its calls are run. A result that is no text is told as
    JSON. An empty ``model`` and all other arguments mean what they mean to :meth:`Client.stream_chat`.

    Raises NotATool, TooManyRounds, what a chat raises, and what ``on_step`` raises. Cancelling cancels the tool that
    runs, too.
    """
    steps = stream_tools(
        client,
        model,
        messages,
        tools,
        max_rounds=max_rounds,
        tool_timeout_s=tool_timeout_s,
        max_result_bytes=max_result_bytes,
        **chat,
    )
    async with aclosing(steps):
        async for step in steps:
            if isinstance(step, ToolRun):
                return step
            if on_step is not None and not isinstance(step, ChatAnswer):
                on_step(step)
    raise AssertionError("a run ends with its ToolRun or an error")


async def stream_tools(
    client: Client,
    model: str,
    messages: Sequence[Said],
    tools: Sequence[Function],
    *,
    max_rounds: int = MAX_ROUNDS,
    tool_timeout_s: float = TOOL_TIMEOUT_S,
    max_result_bytes: int = MAX_RESULT_BYTES,
    **chat: Unpack[Chat],
) -> AsyncGenerator[ChatAnswer | ToolStarted | ToolEnded | ToolRun, None]:
    """Do as :func:`run_tools` does, and hand out the pieces of every answer and each step of a tool as they come.

    The last is the :class:`ToolRun`. Closing the generator is the cancel, of the answer or of the tool that runs; use
    ``contextlib.aclosing``.
    """
    if max_rounds < 0:
        raise InvalidInput("A run has no fewer rounds than none: max_rounds must not be negative.")
    offered = _by_name(tools)
    definitions = [tool.definition for tool in offered.values()]
    said = list(messages)
    ended: list[ToolEnded] = []
    for round_ in range(1, max_rounds + 2):
        heard = _Heard()
        async with aclosing(client.stream_chat(model, said, tools=definitions, **chat)) as answering:
            async for piece in answering:
                heard.add(piece)
                yield piece
        answer = heard.answer
        calls = answer.message.tool_calls
        if calls and round_ > max_rounds:
            raise TooManyRounds(max_rounds, said, ended, calls)
        said.append(answer.message)
        if not calls:
            yield ToolRun(answer, tuple(said), tuple(ended))
            return
        model = model or answer.model
        for call in calls:
            yield ToolStarted(round_, call)
            step = await _called(offered, call, round_, tool_timeout_s, max_result_bytes)
            ended.append(step)
            said.append(step.message)
            yield step


def _by_name(tools: Sequence[Function]) -> dict[str, Tool]:
    offered: dict[str, Tool] = {}
    for function in tools:
        tool = function if isinstance(function, Tool) else Tool.of(function)
        if tool.name in offered:
            raise InvalidInput(
                f"Two tools have the name {tool.name}.", hint="Give one another: Tool.of(function, name=…)."
            )
        offered[tool.name] = tool
    return offered


class _Heard:
    """What has come of one answer. The pieces themselves are not kept: one of some letters takes 2 kB."""

    def __init__(self) -> None:
        self._content, self._thinking = StringIO(), StringIO()
        self._calls: list[ToolCall] = []
        self._last = ChatAnswer()

    def add(self, piece: ChatAnswer) -> None:
        self._content.write(piece.message.content)
        self._thinking.write(piece.message.thinking)
        self._calls += piece.message.tool_calls
        self._last = piece

    @property
    def answer(self) -> ChatAnswer:
        """All of it as one; the counts are those of the last piece."""
        message = Message(
            role="assistant",
            content=self._content.getvalue(),
            thinking=self._thinking.getvalue(),
            tool_calls=tuple(self._calls),
        )
        return self._last.model_copy(update={"message": message})


async def _called(
    offered: Mapping[str, Tool], call: ToolCall, round_: int, timeout_s: float, max_result_bytes: int
) -> ToolEnded:
    """Run one call to its end, whatever that is."""
    tool = offered.get(call.function.name)
    if tool is None:
        names = ", ".join(offered) or "none"
        told = f"Error: there is no tool {call.function.name!r}. The tools are: {names}."
        return ToolEnded(round_, call, ToolOutcome.UNKNOWN_TOOL, told)
    try:
        arguments = tool.arguments(call.function.arguments)
    except BadArguments as error:
        told = f"Error: the arguments do not fit: {'; '.join(error.problems)}."
        return ToolEnded(round_, call, ToolOutcome.BAD_ARGUMENTS, told, error=error)
    begin_s = time.monotonic()
    task = asyncio.create_task(_result(tool.function, arguments), name=f"tool {tool.name}")
    late = False
    try:
        await asyncio.wait({task}, timeout=timeout_s)
        late = not task.done()
    finally:
        if not task.done():
            task.add_done_callback(_seen)
            task.cancel()
            # One that does not heed its cancellation is left to itself.
            await asyncio.wait({task}, timeout=_CANCEL_GRACE_S)
    took_s = time.monotonic() - begin_s
    if late:
        told = f"Error: it took longer than {timeout_s:g} s and was given up."
        return ToolEnded(round_, call, ToolOutcome.TIMED_OUT, told, took_s=took_s)
    failure = asyncio.CancelledError("the tool was cancelled") if task.cancelled() else task.exception()
    if failure is not None:
        told, left_out_bytes = _cut(f"Error: {type(failure).__name__}: {failure}", max_result_bytes)
        return ToolEnded(
            round_, call, ToolOutcome.RAISED, told, error=failure, took_s=took_s, left_out_bytes=left_out_bytes
        )
    value, text = task.result()
    told, left_out_bytes = _cut(text, max_result_bytes)
    return ToolEnded(round_, call, ToolOutcome.RETURNED, told, value, took_s=took_s, left_out_bytes=left_out_bytes)


async def _result(function: Callable[..., Any], arguments: Mapping[str, Any]) -> tuple[object, str]:
    """Call a function, on a thread unless it is a coroutine function; return its value, and that in words."""

    def call() -> tuple[object, str]:
        value = function(**arguments)
        return value, "" if inspect.isawaitable(value) else _text(value)

    try:
        value, text = (function(**arguments), "") if _is_async(function) else await run_blocking(call)
        if inspect.isawaitable(value):
            value = await value
            text = _text(value)
    except SystemExit as end:
        # Not for a model to do: it would end the loop, and with it the program.
        raise RuntimeError(f"it wanted to end the program, with code {end.code}") from end
    return value, text


def _is_async(function: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004 - looks at it, does not ask whether it is there


def _text(value: object) -> str:
    """Tell a value: a text as it is, all else as JSON, and what JSON cannot hold by its own words."""
    if isinstance(value, str):
        return value
    try:
        return _ANYTHING.dump_json(value, warnings=False).decode()
    except ValueError:
        return str(value)


def _cut(text: str, limit_bytes: int) -> tuple[str, int]:
    """Shorten a text, with a note that says so; return how many bytes of UTF-8 were left out."""
    whole = text.encode("utf-8", "replace")  # half a character cannot be sent
    if len(whole) <= limit_bytes:
        return whole.decode(), 0
    kept = whole[:limit_bytes].decode("utf-8", "ignore")
    left_out_bytes = len(whole) - len(kept.encode())
    return f"{kept}\n[cut here: {left_out_bytes} of {len(whole)} bytes are left out]", left_out_bytes


def _seen(task: asyncio.Task[tuple[object, str]]) -> None:
    if not task.cancelled():
        task.exception()
