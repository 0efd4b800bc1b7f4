"""Cut a stream of bytes into lines, with bounded memory. Knows neither JSON nor where the bytes come from."""

from __future__ import annotations

MAX_LINE_BYTES = 32 * 1024 * 1024
"""The longest line accepted. The official Go client ends at 8 MB (api/client.go ``maxBufferSize``, 0.33); a final line
with a long context or many log probabilities may be larger, but nothing sensible is four times as large."""


class TooLong(ValueError):
    """Something grew above its limit; the text says what."""


class LineSplitter:
    r"""Collect chunks and hand out whole lines; blank ones are left out, an end of line may be left on.

    ::

        splitter = LineSplitter()
        splitter.feed(b'{"a":')        []
        splitter.feed(b'1}\n\n{"b"')     [b'{"a":1}']
        splitter.rest()                b'{"b"'
    """

    __slots__ = ("_limit_bytes", "_pending", "_pending_bytes")

    def __init__(self, limit_bytes: int = MAX_LINE_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._pending: list[bytes] = []
        self._pending_bytes = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """Take a chunk and return the lines that are whole now. Raises TooLong."""
        end = chunk.find(b"\n")
        if end < 0:
            self._keep(chunk)
            return []
        if end == len(chunk) - 1 and not self._pending and end <= self._limit_bytes:
            # The usual case, since the server flushes each line: nothing to split. JSON may end in a line end.
            return [] if chunk.isspace() else [chunk]
        lines = chunk.split(b"\n")
        if self._pending:
            self._keep(lines[0])
            lines[0] = b"".join(self._pending)
            self._pending = []
            self._pending_bytes = 0
        last = lines.pop()
        if last:
            self._keep(last)
        # Looking at the length of each line would cost more than the split.
        if len(chunk) > self._limit_bytes and any(len(line) > self._limit_bytes for line in lines):
            raise TooLong(f"a line of more than {self._limit_bytes} bytes")
        return [line for line in lines if line and not line.isspace()]

    def rest(self) -> bytes:
        """Return what came after the last line end, for when the stream has ended; empty if only blanks did."""
        rest = b"".join(self._pending)
        self._pending = []
        self._pending_bytes = 0
        return b"" if rest.isspace() else rest

    def _keep(self, piece: bytes) -> None:
        self._pending_bytes += len(piece)
        if self._pending_bytes > self._limit_bytes:
            raise TooLong(f"a line of more than {self._limit_bytes} bytes")
        self._pending.append(piece)
