"""What the head of a GGUF file says of its model (the format of llama.cpp, version 2 and 3). Reads no tensor."""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import IO, Any

MAGIC = b"GGUF"
_MAX_TEXT_BYTES = 1 << 24
_MAX_ITEMS = 1 << 24
_STRING, _ARRAY = 8, 9
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_FILE_TYPES = {0: "F32", 1: "F16", 2: "Q4_0", 7: "Q8_0", 14: "Q4_K_S", 15: "Q4_K_M", 32: "BF16"}


class NotGguf(ValueError):
    """The file does not begin as a GGUF file does, or ends in its head."""


@dataclass(frozen=True, slots=True)
class Gguf:
    """One head."""

    values: Mapping[str, Any] = field(default_factory=dict)
    """By their keys; arrays are not kept."""
    parameters: int = 0
    """How many, over all tensors."""
    head_bytes: int = 0

    @property
    def architecture(self) -> str:
        return str(self.values.get("general.architecture") or "unknown")

    @property
    def file_type(self) -> str:
        return _FILE_TYPES.get(int(self.values.get("general.file_type") or 0), "unknown")

    @property
    def kind(self) -> str:
        """``model``, ``adapter`` or ``projector``."""
        if self.values.get("general.type") == "adapter":
            return "adapter"
        is_projector = self.values.get("general.type") in ("projector", "mmproj") or self.architecture == "clip"
        return "projector" if is_projector else "model"

    def number(self, key: str) -> int:
        """Give a number under the architecture's own prefix; 0 when there is none."""
        value = self.values.get(f"{self.architecture}.{key}", 0)
        return int(value) if isinstance(value, int | float) else 0


def read_gguf(path: str) -> Gguf:
    """Read the head of a file; OSError, or NotGguf with the server's words."""
    with open(path, "rb") as file:
        if file.read(4) != MAGIC:
            raise NotGguf("supplied file was not in GGUF format")
        try:
            return _Reader(file).read()
        except (struct.error, UnicodeDecodeError, OverflowError):
            raise NotGguf("unexpected EOF") from None


class _Reader:
    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def read(self) -> Gguf:
        self._scalar("I")  # the version
        tensors, pairs = self._scalar("Q"), self._scalar("Q")
        values = {}
        for _ in range(pairs):
            key = self._text()
            value = self._value(self._scalar("I"))
            if value is not None:
                values[key] = value
        parameters = 0
        for _ in range(tensors):
            self._text()
            count = 1
            for _ in range(self._scalar("I")):
                count *= self._scalar("Q")
            parameters += count
            self._scalar("I")
            self._scalar("Q")
        return Gguf(values, parameters, self._file.tell())

    def _scalar(self, code: str) -> Any:
        return struct.unpack(f"<{code}", self._file.read(struct.calcsize(f"<{code}")))[0]

    def _text(self) -> str:
        length = self._scalar("Q")
        data = self._file.read(length) if length <= _MAX_TEXT_BYTES else b""
        if len(data) != length:
            raise NotGguf("unexpected EOF")
        return data.decode("utf-8", "replace")

    def _value(self, kind: int) -> Any:
        if kind == _STRING:
            return self._text()
        if kind == _ARRAY:
            self._skip_array()
            return None
        if kind not in _SCALARS:
            raise NotGguf(f"invalid type: {kind}")
        return self._scalar(_SCALARS[kind])

    def _skip_array(self) -> None:
        kind, count = self._scalar("I"), self._scalar("Q")
        if count > _MAX_ITEMS:
            raise NotGguf("unexpected EOF")
        if kind in _SCALARS:
            self._file.seek(count * struct.calcsize(f"<{_SCALARS[kind]}"), os.SEEK_CUR)
            return
        for _ in range(count):
            self._value(kind)
