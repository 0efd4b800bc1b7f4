"""What the tests of the simulated server share: the recordings of a real one, and pulls to compare with them."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.support.demo_server import SCALE
from tests.support.streams import leave

RECORDINGS = Path(__file__).parents[1] / "recordings"
TIMEOUT_S = 20.0
# Rates are not scaled by the server; with sizes that are, the tests' are.
STEADY_BYTES_PER_S = 750_000_000 * SCALE
QUICK_BYTES_PER_S = 40_000_000_000 * SCALE

# The small layers of the recorded models: the same texts, hence the same digests.
TEMPLATE = "{{ if .System }}<|system|>\n{{ .System }}\n{{ end }}<|user|>\n{{ .Prompt }}\n<|assistant|>\n{{ .Response }}"
_TEXTS = [
    {"type": "template", "text": TEMPLATE},
    {"type": "license", "text": "Made for tests. Free for any use.\n"},
]
_PARAMS = {"type": "params", "text": '{"stop": ["<|user|>"], "temperature": 0.8}'}
_SYSTEM = {"type": "system", "text": "You are a small random model."}
_EMBED_TEXTS = [{"type": "template", "text": "{{ .Prompt }}"}, {"type": "license", "text": "Free\n"}]
_ROLES = {
    "caccf74e7b08": "template",
    "f88f322dd0ec": "license",
    "8e54ab5b7233": "params",
}


def _weights(size_bytes: int) -> dict[str, Any]:
    return {"type": "model", "size_bytes": size_bytes}


HOST = "localhost:5005/library"
TINY, MID, BIG, EMBED = (f"{HOST}/{name}" for name in ("tiny", "mid", "big", "tiny-embed"))
MODELS: Mapping[str, Mapping[str, Any]] = {
    TINY: {"layers": [_weights(236_704), *_TEXTS, _PARAMS], "parameter_size": "114K"},
    f"{TINY}:sys": {"layers": [_weights(236_704), *_TEXTS, _SYSTEM, _PARAMS]},
    MID: {"layers": [_weights(101_380_032), *_TEXTS]},
    BIG: {"layers": [_weights(756_461_696), *_TEXTS]},
    EMBED: {"layers": [_weights(236_704), *_EMBED_TEXTS], "capabilities": ["embedding"], "embedding_length": 64},
}
BIG_BYTES = 756_461_696


def recording(name: str) -> dict[str, Any]:
    """Read one recording by its path without the ending."""
    loaded: dict[str, Any] = json.loads((RECORDINGS / f"{name}.json").read_text(encoding="utf-8"))
    return loaded


@dataclass(slots=True)
class Pull:
    """One pull as its client saw it."""

    lines: list[dict[str, Any]] = field(default_factory=list)
    end: str = ""
    """As in the recordings: complete, closed by client, or the name of what httpx raised."""

    @classmethod
    def recorded(cls, name: str) -> Pull:
        response = recording(name)["response"]
        return cls([json.loads(text) for _, text in response["lines"]], response["end"].partition(":")[0])

    @property
    def phases(self) -> list[str]:
        """What happened in which order: repeated lines of one layer are one phase, digests and paths are masked."""
        phases: list[str] = []
        for line in self.lines:
            if "error" in line:
                phase = f"error: {mask(line['error'])}"
            elif "digest" in line:
                phase = f"pulling {_role(line)}"
            else:
                phase = line["status"]
            if not phases or phases[-1] != phase:
                phases.append(phase)
        return phases

    @property
    def weights(self) -> list[dict[str, Any]]:
        """The lines of the big layer."""
        return [line for line in self.lines if "digest" in line and _role(line) == "weights"]

    @property
    def fractions(self) -> list[float]:
        """How far the big layer was in each of its lines."""
        return [line.get("completed", 0) / line["total"] for line in self.weights]


def mask(text: str) -> str:
    """Hide what differs from one run to the next: digests and folders."""
    text = re.sub(r"(sha256[:-])[0-9a-f]{64}", r"\1…", text)
    return re.sub(r"(?<= )/\S*/(?=sha256-|manifests/)", "…/", text)


def _role(line: Mapping[str, Any]) -> str:
    role = _ROLES.get(line["digest"][7:19])
    if role is None:
        role = "weights" if line.get("total", 10_000) > 1000 else "config"
    return role


def talk_to(base_url: str) -> httpx.AsyncClient:
    """A client for loopback: no proxies, and no certificates, whose loading would block the loop for 50 ms."""
    return httpx.AsyncClient(base_url=base_url, trust_env=False, verify=False, timeout=TIMEOUT_S)  # noqa: S501


async def pull(
    base_url: str,
    model: str,
    *,
    close_at: float | None = None,
    on_line: Callable[[Pull], Awaitable[None]] | None = None,
) -> Pull:
    """Pull a model as the recorder did; close the stream when the big layer has come as far as ``close_at``."""
    seen = Pull()
    body = {"model": model, "insecure": True}
    async with talk_to(base_url) as client:
        try:
            async with client.stream("POST", "/api/pull", json=body) as response:
                assert response.status_code == 200
                lines = response.aiter_lines()
                async for text in lines:
                    seen.lines.append(json.loads(text))
                    if on_line is not None:
                        await on_line(seen)
                    if close_at is not None and seen.fractions and seen.fractions[-1] >= close_at:
                        seen.end = "closed by client"
                        await leave(response, lines)
                        return seen
            seen.end = "complete"
        except httpx.TransportError as error:
            seen.end = type(error).__name__
    return seen


async def weights_of(base_url: str, model: str) -> str:
    """How the files of a model's weights begin, from its manifest."""
    namespace, name = model.split("/")[-2:]
    async with talk_to(base_url) as client:
        manifest = (await client.get(f"/v2/{namespace}/{name}/manifests/latest")).json()
    return str(manifest["layers"][0]["digest"]).replace(":", "-")


def partial_files(blobs: Path, weights: str) -> dict[str, float | None]:
    """The files of a digest by their endings, and the fraction that each resume file records; None for the others."""
    return _fractions(((path.name, path) for path in sorted(blobs.iterdir())), weights)


def recorded_files(name: str, weights: str) -> dict[str, float | None]:
    """The same of a recorded folder."""
    return _fractions(((entry["name"], entry.get("text", "")) for entry in recording(name)["files"]), weights)


def _fractions(files: Iterable[tuple[str, Path | str]], weights: str) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for name, content in files:
        if not name.startswith(weights):
            continue
        ending = name.removeprefix(weights)
        found[ending] = None
        if re.fullmatch(r"-partial-\d+", ending):
            text = content if isinstance(content, str) else content.read_text(encoding="utf-8")
            members = json.loads(text) if text else {}
            found[ending] = members["Completed"] / members["Size"] if members else None
    return found


def total_recorded(files: Mapping[str, float | None]) -> float:
    """The fraction of the recorded model's weights that its eight resume files hold."""
    sizes = [100_000_000] * 7 + [56_461_696]
    return sum((files.get(f"-partial-{n}") or 0.0) * size for n, size in enumerate(sizes)) / BIG_BYTES


def least_recorded(files: Mapping[str, float | None]) -> float:
    """The smallest fraction that one of the eight resume files holds; 0 while one is still to be written."""
    return min(files.get(f"-partial-{n}") or 0.0 for n in range(8))


def assert_alike(ours: Mapping[str, float | None], theirs: Mapping[str, float | None]) -> None:
    """The same files, and each resume file records the same fraction within ten points."""
    assert list(ours) == list(theirs)
    for ending, fraction in theirs.items():
        found = ours[ending]
        assert (found is None) == (fraction is None), ending
        if found is not None and fraction is not None:
            assert abs(found - fraction) <= 0.10, (ending, found, fraction)
