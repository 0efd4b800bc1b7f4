"""What is still to go wrong with the inference. One object for the life of a server: what has happened counts."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from launcher.demo.script import InvalidScript, Script
from launcher.domain.names import InvalidModelName, ModelName

if TYPE_CHECKING:
    from launcher.demo.http import Exchange
    from launcher.demo.script_rare import AnswerFaultScript

INFERENCE_PATHS = (
    *("/api/generate", "/api/chat", "/api/embed", "/api/embeddings"),
    *("/v1/chat/completions", "/v1/completions", "/v1/embeddings"),
)
IN_AN_ANSWER = ("error", "cut", "no_done", "bad_utf8", "long_line", "stall", "endless", "endless_line")
_PAGE = (
    b"<html><head><title>Bad gateway</title></head><body><h1>This is not the server you asked for</h1></body></html>"
)
_OUT_OF_MEMORY = (
    "llama-server process has terminated: exit status 1: ggml_backend_cuda_buffer_type_alloc_buffer: allocating "
    "{mebibytes:.2f} MiB on device 0: cudaMalloc failed: out of memory"
)


class AnswerFaults:
    """The faults of one server."""

    def __init__(self, script: Script) -> None:
        self._faults = script.answers.faults
        self._keys = [_key(one.model) for one in self._faults]
        self._happened = [0] * len(self._faults)

    def take(self, kinds: Collection[str], path: str, name: ModelName | None = None) -> AnswerFaultScript | None:
        """Give the next fault of these kinds that meets a request, and count it; None: nothing goes wrong."""
        for at in self._left(kinds, name):
            fault = self._faults[at]
            if fault.path == path or (fault.path is None and path in INFERENCE_PATHS):
                self._happened[at] += 1
                return fault
        return None

    async def answers_instead(self, exchange: Exchange) -> bool:
        """Answer a request as something that is no Ollama would; False: it is still to be answered."""
        fault = self.take(("html", "redirect"), exchange.request.path)
        if fault is None:
            return False
        if fault.fault == "redirect":
            await exchange.answer(307, None, b"", [("Location", fault.location)])
        else:
            await exchange.answer(fault.status, "text/html", _PAGE)
        return True

    def load_failure(self, name: ModelName, context_length: int, size_bytes: int, *, is_alone: bool) -> str | None:
        """Say how the load of a model fails; None: it does not."""
        for at in self._left(("out_of_memory", "load_error"), name):
            fault = self._faults[at]
            if fault.fault == "load_error":
                self._happened[at] += 1
                return fault.text
            if context_length > fault.fits_num_ctx and not (fault.fits_alone and is_alone):
                self._happened[at] += 1
                return _OUT_OF_MEMORY.format(mebibytes=size_bytes / (1 << 20))
        return None

    def _left(self, kinds: Collection[str], name: ModelName | None) -> Iterator[int]:
        """List the places of the faults of these kinds that a model may still meet."""
        for at, fault in enumerate(self._faults):
            is_spent = bool(fault.times) and self._happened[at] >= fault.times
            meets = self._keys[at] is None or (name is not None and name.key == self._keys[at])
            if fault.fault in kinds and meets and not is_spent:
                yield at


def _key(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        return ModelName.parse(text).key
    except InvalidModelName as error:
        raise InvalidScript(f"{text!r} in faults is not the name of a model.") from error
