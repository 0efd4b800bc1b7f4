"""What is still to go wrong with the inference. One object for the life of a server: what has happened counts."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from launcher.demo.http import Exchange
from launcher.demo.script import AnswerFaultScript, InvalidScript, Script
from launcher.domain.names import InvalidModelName, ModelName

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


@dataclass(slots=True)
class _Armed:
    fault: AnswerFaultScript
    key: str | None
    happened: int = 0

    @property
    def is_spent(self) -> bool:
        return bool(self.fault.times) and self.happened >= self.fault.times


class AnswerFaults:
    """The faults of one server."""

    def __init__(self, script: Script) -> None:
        self._armed = [_Armed(one, _key(one.model)) for one in script.answers.faults]

    def take(self, kinds: Collection[str], path: str, name: ModelName | None = None) -> AnswerFaultScript | None:
        """Give the next fault of these kinds that meets a request, and count it; None: nothing goes wrong."""
        for one in self._armed:
            if one.is_spent or one.fault.fault not in kinds or one.fault.path not in (None, path):
                continue
            if one.fault.path is None and path not in INFERENCE_PATHS:
                continue
            if one.key is not None and (name is None or name.key != one.key):
                continue
            one.happened += 1
            return one.fault
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
        for one in self._armed:
            fault = one.fault
            if fault.fault not in ("out_of_memory", "load_error") or one.is_spent or one.key not in (None, name.key):
                continue
            if fault.fault == "load_error":
                one.happened += 1
                return fault.text
            if context_length > fault.fits_num_ctx and not (fault.fits_alone and is_alone):
                one.happened += 1
                return _OUT_OF_MEMORY.format(mebibytes=size_bytes / (1 << 20))
        return None


def _key(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        return ModelName.parse(text).key
    except InvalidModelName as error:
        raise InvalidScript(f"{text!r} in faults is not the name of a model.") from error
