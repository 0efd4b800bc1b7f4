"""The head of a GGUF file, as small as it can be: enough for whoever reads what kind of model it is, and no model."""

from __future__ import annotations

import struct


def make_gguf(architecture: str = "llama", *, file_type: int = 1) -> bytes:
    """Make a file without tensors (the format of llama.cpp, version 3); ``file_type`` 1 is F16."""
    pairs = _text("general.architecture") + struct.pack("<I", 8) + _text(architecture)
    pairs += _text("general.file_type") + struct.pack("<II", 4, file_type)
    return b"GGUF" + struct.pack("<IQQ", 3, 0, 2) + pairs + b"\0" * 32


def _text(text: str) -> bytes:
    content = text.encode()
    return struct.pack("<Q", len(content)) + content
