"""Recorded exchanges of a real server done again with the simulated one, and how the answers differ."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

import httpx

from tests.demo.recorded import mask, recording

# What the recorder sent in place of what its file says of it.
_PLACEHOLDER = "word … (9000 times 'word ')"
_DONE = "data: [DONE]"


async def ask(
    client: httpx.AsyncClient, name: str, instead: Mapping[str, str] | None = None, content: bytes | None = None
) -> tuple[Mapping[str, Any], httpx.Response]:
    """Send a recorded request; give the recorded answer and ours.

    ``instead`` names what to send for parts of it (digests differ); ``content`` is the body where none was recorded.
    """
    exchange = recording(name)
    text = json.dumps(exchange["request"], ensure_ascii=False).replace(_PLACEHOLDER, "word " * 9000)
    for theirs, ours in (instead or {}).items():
        text = text.replace(theirs, ours)
    request = json.loads(text)
    if "body" in request:
        content = json.dumps(request["body"]).encode()
    answer = await client.request(request["method"], request["path"], content=content, headers=request.get("headers"))
    return exchange["response"], answer


def shape(value: Any) -> Any:
    """The names and kinds of a JSON value; a list has the shape of its first item."""
    if isinstance(value, dict):
        return {name: shape(member) for name, member in value.items() if name not in ("model_info", "tensors")}
    if isinstance(value, list):
        return [shape(one) for one in value[:1]]
    return type(value).__name__


def differences(name: str, theirs: Mapping[str, Any], ours: httpx.Response, *, words: bool) -> list[str]:
    """How our answer differs: in status, in kind, and in its words or (without ``words``) its shape."""
    found = []
    if ours.status_code != theirs["status"]:
        found.append(f"{name}: status {ours.status_code}, not {theirs['status']}: {ours.text}")
    headers = {
        header: (ours.headers.get(header), theirs["headers"].get(header)) for header in ("content-type", "allow")
    }
    found += [f"{name}: {header} {own}, not {other}" for header, (own, other) in headers.items() if own != other]
    if "lines" in theirs:
        recorded, own = _said(text for _, text in theirs["lines"]), _said(ours.text.splitlines())
        recorded, own = ([recorded[0], recorded[-1]], [own[0], own[-1]]) if not words else (recorded, own)
    else:
        recorded, own = [theirs["body"]], [ours.text.removesuffix("\n")]  # which the recorder left out
    if words:
        recorded, own = [mask(_quiet(text)) for text in recorded], [mask(_quiet(text)) for text in own]
    else:
        recorded, own = [shape(json.loads(text)) for text in recorded], [shape(json.loads(text)) for text in own]
    if recorded != own:
        found.append(f"{name}: {own}, not {recorded}")
    return found


def _said(lines: Iterable[str]) -> list[str]:
    """Lines without what events of a server put around them; the last of those has to be there."""
    every = [line for line in lines if line]
    assert not any(line.startswith("data:") for line in every) or every[-1] == _DONE
    return [line.removeprefix("data: ") for line in every if line != _DONE]


def _quiet(text: str) -> str:
    """Without what only the recorder's machine had: the resolver's address, times, and how it counts tokens."""
    text = re.sub(r"\?ts=\d+", "", text.replace(" on 192.0.2.53:53", ""))
    return re.sub(r"\d+(?= tokens\) exceeds)|(?<=n_prompt_tokens).{4}\d+", "…", text)
