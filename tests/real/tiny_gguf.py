"""A language model with random weights that real inference loads in a moment, written without any library.

The file format is GGUF version 3 (ggml/docs/gguf.md in llama.cpp); the model is of architecture ``llama``: 2 layers,
64 dimensions, a vocabulary of all bytes and a few words. Nothing sensible comes out of it. The same bytes each time.
"""

from __future__ import annotations

import random
import struct
from functools import cache

_CONTEXT = 2048
_WIDTH, _LAYERS, _FEED_FORWARD, _HEADS, _KV_HEADS = 64, 2, 128, 4, 2
_WORDS = ("one", "two", "red", "green", "stone", "river", "light", "night", "goes", "comes", "makes", "small", "large")
_ALIGNMENT = 32

# Numbers of the format: types of values, and of tensors.
_U32, _F32, _TEXT, _ARRAY, _I32 = 4, 6, 8, 9, 5
_TENSOR_F32, _TENSOR_F16 = 0, 1
# Types of tokens: a word, the unknown one, a control mark, a single byte.
_WORD, _UNKNOWN, _CONTROL, _BYTE = 1, 2, 3, 6


@cache
def tiny_gguf(*, embeds: bool = False) -> bytes:
    """Make the file; with ``embeds`` it is a model for embeddings (mean pooling)."""
    tokens = [("<unk>", _UNKNOWN), ("<s>", _CONTROL), ("</s>", _CONTROL)]
    tokens += [(f"<0x{byte:02X}>", _BYTE) for byte in range(256)]
    tokens += [(f"\u2581{word}", _WORD) for word in _WORDS]
    values = [
        ("general.architecture", _text("llama")),
        ("general.file_type", _u32(1)),
        ("llama.context_length", _u32(_CONTEXT)),
        ("llama.embedding_length", _u32(_WIDTH)),
        ("llama.block_count", _u32(_LAYERS)),
        ("llama.feed_forward_length", _u32(_FEED_FORWARD)),
        ("llama.attention.head_count", _u32(_HEADS)),
        ("llama.attention.head_count_kv", _u32(_KV_HEADS)),
        ("llama.attention.layer_norm_rms_epsilon", struct.pack("<If", _F32, 1e-5)),
        ("llama.rope.dimension_count", _u32(_WIDTH // _HEADS)),
        ("llama.vocab_size", _u32(len(tokens))),
        ("tokenizer.ggml.model", _text("llama")),
        ("tokenizer.ggml.tokens", _array(_TEXT, [_string(text) for text, _ in tokens])),
        ("tokenizer.ggml.scores", _array(_F32, [struct.pack("<f", -float(at)) for at in range(len(tokens))])),
        ("tokenizer.ggml.token_type", _array(_I32, [struct.pack("<i", kind) for _, kind in tokens])),
        ("tokenizer.ggml.bos_token_id", _u32(1)),
        ("tokenizer.ggml.eos_token_id", _u32(2)),
        ("tokenizer.ggml.unknown_token_id", _u32(0)),
    ]
    if embeds:
        values.append(("llama.pooling_type", _u32(1)))
    return _file(values, _tensors(len(tokens)))


def _tensors(vocabulary: int) -> list[tuple[str, tuple[int, ...], int, bytes]]:
    """Name, shape (the innermost first), type and content of each tensor."""
    source = random.Random(20261121)

    def matrix(name: str, columns: int, rows: int) -> tuple[str, tuple[int, ...], int, bytes]:
        spread = 0.5 / columns**0.5
        numbers = [source.uniform(-spread, spread) for _ in range(columns * rows)]
        return f"{name}.weight", (columns, rows), _TENSOR_F16, struct.pack(f"<{len(numbers)}e", *numbers)

    def ones(name: str) -> tuple[str, tuple[int, ...], int, bytes]:
        return f"{name}.weight", (_WIDTH,), _TENSOR_F32, struct.pack(f"<{_WIDTH}f", *[1.0] * _WIDTH)

    kv_width = _WIDTH // _HEADS * _KV_HEADS
    tensors = [matrix("token_embd", _WIDTH, vocabulary), matrix("output", _WIDTH, vocabulary), ones("output_norm")]
    for layer in range(_LAYERS):
        tensors += [
            ones(f"blk.{layer}.attn_norm"),
            matrix(f"blk.{layer}.attn_q", _WIDTH, _WIDTH),
            matrix(f"blk.{layer}.attn_k", _WIDTH, kv_width),
            matrix(f"blk.{layer}.attn_v", _WIDTH, kv_width),
            matrix(f"blk.{layer}.attn_output", _WIDTH, _WIDTH),
            ones(f"blk.{layer}.ffn_norm"),
            matrix(f"blk.{layer}.ffn_gate", _WIDTH, _FEED_FORWARD),
            matrix(f"blk.{layer}.ffn_up", _WIDTH, _FEED_FORWARD),
            matrix(f"blk.{layer}.ffn_down", _FEED_FORWARD, _WIDTH),
        ]
    return tensors


def _file(values: list[tuple[str, bytes]], tensors: list[tuple[str, tuple[int, ...], int, bytes]]) -> bytes:
    head = bytearray(b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(values)))
    for name, value in values:
        head += _string(name) + value
    content = bytearray()
    for name, shape, kind, numbers in tensors:
        head += _string(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, len(content))
        content += _padded(numbers)
    return _padded(bytes(head)) + bytes(content)


def _padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % _ALIGNMENT)


def _string(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def _text(text: str) -> bytes:
    return struct.pack("<I", _TEXT) + _string(text)


def _u32(number: int) -> bytes:
    return struct.pack("<II", _U32, number)


def _array(kind: int, items: list[bytes]) -> bytes:
    return struct.pack("<IIQ", _ARRAY, kind, len(items)) + b"".join(items)
