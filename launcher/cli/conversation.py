"""A conversation on a terminal: what is typed is asked, what begins with a slash is done.

Ctrl-C stops an answer, which stays in the conversation as far as it had come; a question to which nothing came is taken
back. No failure ends the conversation: it is told, and the next line is read.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from launcher import paths
from launcher.cli import output
from launcher.cli.answering import CUT_SHORT, Hearing, Notices, Wishes, tell_measures, was_cut_short
from launcher.cli.failures import Exit
from launcher.cli.run import GivenUp, giving_way
from launcher.cli.screen import open_screen
from launcher.cli.session import Session
from launcher.domain.conversation import Conversation, Ended, Role, Turn, read_conversation, write_conversation
from launcher.domain.names import ModelName
from launcher.errors import InvalidInput, LauncherError, StorageError
from launcher.tasks import run_blocking

if TYPE_CHECKING:
    from launcher.ollama import Client

_HISTORY = "chat-history"
_LARGEST_FILE_BYTES = 256 * 1024 * 1024


class _Over(Exception):
    """The conversation is to end."""


@dataclass(frozen=True, slots=True)
class _Command:
    """What a slash and a word do."""

    words: str
    says: str
    do: Callable[[Talk, str], Awaitable[None]]


class Talk:
    """One conversation, from the first line to the last."""

    def __init__(
        self, session: Session, client: Client, conversation: Conversation, wishes: Wishes, notices: Notices
    ) -> None:
        self._session = session
        self._client = client
        self._conversation = conversation
        self._wishes = wishes
        self._notices = notices

    async def run(self) -> int:
        """Read and answer until the person ends it."""
        from launcher.cli import editor

        lines = editor.Editor(await self._history(), [f"/{name}" for name in _COMMANDS])
        output.say(f"You talk to {self._conversation.model}. /help tells what you can do, /bye ends.")
        while True:
            try:
                line = await lines.read()
            except editor.Interrupted:
                output.remark("Ctrl-D or /bye ends the conversation.")
                continue
            except editor.Ended:
                return Exit.DONE
            try:
                await self._take(line)
            except _Over:
                return Exit.DONE
            except GivenUp:
                continue
            except output.OutputFailed:
                raise
            except LauncherError as error:
                output.complain_of(error.title, self._session.hint(error.hint))

    async def _take(self, line: str) -> None:
        if not line.strip():
            return
        if not line.startswith("/"):
            await self._ask(line)
            return
        word, _, rest = line[1:].partition(" ")
        command = _COMMANDS.get(_SAME.get(word, word))
        if command is None:
            output.remark(f"There is no command /{word}. /help tells which there are.")
        else:
            await command.do(self, rest.strip())

    async def _ask(self, text: str) -> None:
        asked = self._conversation.with_turn(Turn(Role.USER, text))
        hearing = Hearing()
        screen = open_screen()
        ended = Ended.WHOLE
        failure: LauncherError | None = None
        try:
            await giving_way(hearing.listen(self._client, asked, self._wishes, screen))
        except GivenUp:
            ended = Ended.STOPPED
        except output.OutputFailed:
            raise
        except LauncherError as error:
            ended, failure = Ended.CUT, error
        finally:
            screen.close()
        self._notices.tell_held()
        if was_cut_short(hearing.last):
            ended = Ended.CUT
            output.remark(CUT_SHORT)
        answer = hearing.turn(ended)
        came = bool(answer.text or answer.thinking)
        if ended is Ended.WHOLE or came:
            self._conversation = asked.with_turn(answer)
        if ended is Ended.STOPPED:
            output.remark("(stopped)" if came else "(stopped before anything came; the question is taken back)")
        if failure is not None:
            output.complain_of(failure.title, self._session.hint(failure.hint))
            if came:
                output.remark("(cut off; what had come stays in the conversation)")
        if self._wishes.verbose:
            tell_measures(hearing.last)
        output.say("")

    async def _switch(self, name: str) -> None:
        if not name:
            await self._tell_models()
            return
        model = ModelName.parse(name).display
        await self._bring(model)
        self._conversation = replace(self._conversation, model=model)
        output.remark(f"You talk to {model} now.")

    async def _bring(self, model: str) -> None:
        """Make sure that a model is there. Raises GivenUp where it is not and will not be."""
        from launcher.cli.serving import NotPulled, with_model

        async def there() -> None:
            await with_model(self._session, model, lambda: self._client.show(model))

        try:
            await giving_way(there())
        except NotPulled:
            raise GivenUp from None

    async def _tell_models(self) -> None:
        tags = await self._client.tags()
        output.remark(f"You talk to {self._conversation.model}. Installed:")
        for model in tags.models:
            output.remark(f"  {model.name}")

    async def _instruct(self, text: str) -> None:
        if not text:
            output.remark(self._conversation.system or "There is no system prompt.")
            return
        text = "" if text == '""' else text
        self._conversation = replace(self._conversation, system=text)
        output.remark("The system prompt is set." if text else "The system prompt is taken away.")

    async def _clear(self, _: str) -> None:
        self._conversation = self._conversation.cleared()
        output.remark("All that was said is forgotten.")

    async def _save(self, name: str) -> None:
        from launcher.cli.asking import confirm

        path = _path_of(name, "/save")
        if await run_blocking(path.exists):
            question = f"There is a file {path} already. Replace it?"
            if not await giving_way(confirm(question, default=False)):
                return
        await run_blocking(_write, path, write_conversation(self._conversation))
        output.remark(f"The conversation is saved in {path}.")

    async def _load(self, name: str) -> None:
        path = _path_of(name, "/load")
        loaded = read_conversation(await run_blocking(_read, path))
        model = loaded.model or self._conversation.model
        await self._bring(model)
        self._conversation = replace(loaded, model=model)
        turns = len(loaded.turns)
        output.remark(f"You talk to {model}; {turns} {'message is' if turns == 1 else 'messages are'} loaded.")

    async def _help(self, _: str) -> None:
        width = max(len(command.words) for command in _COMMANDS.values())
        for command in _COMMANDS.values():
            output.remark(f"{command.words:<{width}}  {command.says}")
        output.remark('\nAlt-Enter begins a new line; so does Enter in a text between """ and """.')
        output.remark("Ctrl-C stops an answer, Ctrl-D ends the conversation.")

    async def _end(self, _: str) -> None:
        raise _Over

    async def _history(self) -> Path | None:
        from launcher.cli.editor import prepare_history

        try:
            path = paths.ensure_dir(paths.state_dir()) / _HISTORY
            await run_blocking(prepare_history, path)
        except StorageError as error:
            output.remark(f"Note: what you type is not remembered. {error.title}")
        except OSError as error:
            output.remark(f"Note: what you type is not remembered: {error.strerror or error}.")
        else:
            return path
        return None


_COMMANDS: dict[str, _Command] = {
    "model": _Command("/model [NAME]", "Talk to another model; without a name: tell which there are.", Talk._switch),
    "system": _Command("/system [TEXT]", 'Tell the model about itself; "" takes that away.', Talk._instruct),
    "save": _Command("/save FILE", "Keep the conversation in a file.", Talk._save),
    "load": _Command("/load FILE", "Go on with a conversation from a file.", Talk._load),
    "clear": _Command("/clear", "Forget what was said.", Talk._clear),
    "help": _Command("/help", "Tell what there is.", Talk._help),
    "bye": _Command("/bye", "End.", Talk._end),
}
_SAME = {"?": "help", "exit": "bye", "quit": "bye", "set": "help"}


def _path_of(name: str, command: str) -> Path:
    if not name:
        raise InvalidInput(f"{command} needs the name of a file.", hint=f"For example: {command} talk.json")
    return Path(os.path.expanduser(name))


def _write(path: Path, text: str) -> None:
    try:
        paths.write_whole(path, text.encode("utf-8", "replace"))
    except OSError as error:
        raise StorageError(
            f"The file {path} cannot be written: {error.strerror or error}.", detail=str(error)
        ) from error


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_FILE_BYTES + 1)
    except OSError as error:
        raise StorageError(f"The file {path} cannot be read: {error.strerror or error}.", detail=str(error)) from error
    if len(content) > _LARGEST_FILE_BYTES:
        raise InvalidInput(f"The file {path} is too large.")
    return content.decode("utf-8", "replace")
