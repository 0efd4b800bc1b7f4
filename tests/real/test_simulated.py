"""The simulated server beside a real one: the same requests, the same answers.

Compared are status, headers that a client reads, and bodies; times, digests, sizes, paths and what a model says are
masked. Not compared: the headers that only a browser reads.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from tests.real.conftest import LICENSE, PARAMETERS, SYSTEM, TEMPLATE, Serve, answers
from tests.real.tiny_gguf import tiny_gguf
from tests.support.machine import Machine
from tests.support.registry import LoopbackRegistry
from tests.support.waiting import wait_until

pytestmark = pytest.mark.real_ollama

_ROOT = Path(__file__).parents[2]
_HEADERS = ("content-type", "allow", "location")
_NUMBERS = re.compile(r"total|size(_vram)?|\w+_duration|(prompt_)?eval_count|created|\w+_tokens")
_SAID = frozenset(("response", "content", "text"))
_LONG_LISTS = frozenset(("context", "embedding", "embeddings", "tensors"))
_INFO = re.compile(r"general\.architecture|\w+\.(context|embedding)_length|\w+\.pooling_type")


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    fetches: bool = False
    """A download: which of its layers are announced is a matter of time, those that take under 60 ms are not."""

    def __str__(self) -> str:
        body = "" if self.body is None else f" {self.body.decode('utf-8', 'backslashreplace')}"
        headers = "".join(f" [{name}: {value}]" for name, value in self.headers.items())
        return f"{self.method} {self.path}{headers}{body}"


@dataclass(frozen=True)
class Server:
    port: int
    models: Path
    simulated: bool

    def answer(self, request: Request, registry: LoopbackRegistry | None = None) -> dict[str, Any]:
        """Send a request and tell what came, masked."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection:
            connection.putrequest(request.method, request.path, skip_host="Host" in request.headers)
            for name, value in request.headers.items():
                connection.putheader(name, value)
            if request.body is not None:
                connection.putheader("Content-Length", str(len(request.body)))
            connection.endheaders(request.body)
            answer = connection.getresponse()
            content = answer.read().decode("utf-8", "replace")
        assert (answer.getheader("Ollama-Simulated") is not None) == self.simulated
        kept = {name: answer.getheader(name) for name in _HEADERS}
        if kept["allow"]:
            kept["allow"] = ",".join(sorted(kept["allow"].replace(" ", "").split(",")))
        body = _body(self._masked(content, registry), kept["content-type"] or "")
        if request.fetches:
            body = [line for line in body if "digest" not in line]
        return {"status": answer.status, **kept, "body": body}

    def _masked(self, text: str, registry: LoopbackRegistry | None) -> str:
        text = text.replace(str(self.models), "<models>")
        if registry is not None:
            text = text.replace(registry.address, "<registry>")
        text = re.sub(r"\b(sha256[:-])?[0-9a-f]{64}\b", "<digest>", text)
        text = re.sub(r"\bpulling [0-9a-f]{12}\b", "pulling <digest>", text)
        text = re.sub(r"\b(chatcmpl|cmpl)-\d+", r"\1-<number>", text)
        return re.sub(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", "<time>", text)


def _body(text: str, kind: str) -> Any:
    if "ndjson" in kind:
        lines = [_shape(json.loads(line)) for line in text.splitlines()]
        # One line for each phase: how many there are, and which say how much, is a matter of time.
        return [line for place, line in enumerate(lines) if place == 0 or line != lines[place - 1]]
    return _shape(json.loads(text)) if "json" in kind and text else text


def _shape(value: Any, key: str = "") -> Any:
    if key == "model_info":
        # Which further facts there are depends on the file.
        return {name: found for name, found in value.items() if _INFO.fullmatch(name)}
    if isinstance(value, dict):
        return {name: _shape(found, name) for name, found in value.items() if name != "completed"}
    if key in _LONG_LISTS:
        return "<list>"
    if isinstance(value, list):
        shapes = [_shape(found) for found in value]
        # Models that came within one second are in no order that means anything.
        named = {"models": "name", "data": "id"}.get(key)
        return sorted(shapes, key=lambda one: str(one.get(named))) if named else shapes
    if key in ("parameters", "modelfile"):
        return sorted(value.splitlines())  # parameters come in random order
    if _NUMBERS.fullmatch(key):
        return "<number>"
    if key in ("done_reason", "finish_reason") and value == "length":
        return "stop"  # a model of random weights may end early
    return "<said>" if key in _SAID else value


class Pair:
    """A real server and a simulated one that know the same models."""

    def __init__(self, real: Server, simulated: Server, registry: LoopbackRegistry) -> None:
        self.real = real
        self.simulated = simulated
        self.registry = registry

    def compare(self, requests: list[Request]) -> None:
        """Send all to both, in order; fails with what is answered differently."""
        told = []
        for request in requests:
            theirs = self.real.answer(request, self.registry)
            ours = self.simulated.answer(request, self.registry)
            name = str(request).replace(self.registry.address, "<registry>")
            if theirs == ours:
                continue
            told.append(name)
            for key in theirs:
                if theirs[key] != ours[key]:
                    told += [f"    {key}:", f"        real      {theirs[key]}", f"        simulated {ours[key]}"]
        if told:
            pytest.fail("\n".join(told), pytrace=False)


@pytest.fixture
def pair(machine: Machine, serve: Serve, registry: LoopbackRegistry, another_port: int) -> Iterator[Pair]:
    facts = {"family": "llama", "parameter_size": "109K", "quantization": "F16", "context_length": 2048}
    texts = {"template": TEMPLATE, "license": LICENSE, "params": PARAMETERS, "system": SYSTEM}
    layers = [{"type": "model", "size_bytes": len(tiny_gguf())}]
    layers += [{"type": kind, "text": text.decode()} for kind, text in texts.items()]
    script = {
        "models": {
            registry.name_of("tiny"): {
                **facts,
                "embedding_length": 64,
                "capabilities": ["completion"],
                "layers": layers,
            },
            registry.name_of("embed"): {
                **facts,
                "embedding_length": 64,
                "capabilities": ["embedding"],
                "layers": [{"type": "model", "size_bytes": len(tiny_gguf(embeds=True))}],
            },
        },
    }
    folder = machine.folder / "simulated"
    folder.mkdir()
    (folder / "script.json").write_text(json.dumps(script))
    real = Server(machine.port, machine.models, simulated=False)
    serve(machine.port)
    # The script's version makes them equal in that, too.
    script["version"] = _version(machine.port)  # type: ignore[assignment] # a text beside a table
    (folder / "script.json").write_text(json.dumps(script))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "launcher.demo", "serve"],
            cwd=_ROOT,
            env={
                **machine.environ,
                "HOME": str(folder),
                "OLLAMA_HOST": f"127.0.0.1:{another_port}",
                "OLLAMA_MODELS": str(folder / "models"),
                "LAUNCHER_DEMO_SCRIPT": str(folder / "script.json"),
            },
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        wait_until(lambda: answers(another_port), message="the simulated server answers")
        yield Pair(real, Server(another_port, folder / "models", simulated=True), registry)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)


def _version(port: int) -> str:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request("GET", "/api/version")
        return str(json.loads(connection.getresponse().read())["version"])


def post(path: str, **members: object) -> Request:
    return Request("POST", path, json.dumps(members).encode())


def fetch(model: str) -> Request:
    return replace(post("/api/pull", model=model, insecure=True), fetches=True)


def delete(**members: object) -> Request:
    return Request("DELETE", "/api/delete", json.dumps(members).encode())


ROUTES = ["/", "/api/version", "/api/tags", "/api/ps", "/api/status"]
POSTS = ["/api/show", "/api/copy", "/api/generate", "/api/chat", "/api/embed"]
METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]
NAMES = [
    *(
        "",
        "/",
        "a/b/c/d",
        "a:",
        ":a",
        "a b",
        " nothing ",
        "nothing",
        "x" * 81,
        "a@b",
        "nothing:local",
        "user/nothing:t",
    ),
    *("hf.co/user/nothing", "http://host/n/nothing", "NOTHING:Tag", 'a"b', "a\\b", "a\tb", "\x00", "é", "🦙", "\u200b"),
    *("\u202e", "a\u00a0b", "<a>&", "../a", "a/../b", "registry.ollama.ai/library/nothing"),
]
BODIES = [
    *(b"", b"  ", b"{", b"}", b"x", b"tru", b"null", b"[]", b'"a"', b"1", b"true", b"[1,2", b'{"model":1}'),
    *(
        b'{"model":null}',
        b'{"model":["a"]}',
        b'{"model":{"a":1}}',
        b'{"model":true}',
        b'{"model":1.5}',
        b'{"model":"a"',
    ),
    *(b'{"model":"a', b'{"model":"a",}', b"{'model':'a'}", b'{"model":"a\n"}', b'{"model" "a"}', b'{model:"a"}'),
    *(b'{"model":nul}', b'{"model":"a\\q"}', b'{"model":"a"}{"model":"b"}', b'{"model":"a"} x', b'{"model":"a","x":1}'),
    *(b'{"model":"\xff"}', b'{"model":"a\\ud800"}', b'{"name":"a"}', b'{"model":"","name":"b"}', b'{"source":"a"}'),
    *(b'{"source":1,"destination":"b"}', b'{"source":"a","destination":"b"}', b'{"source":"a","destination":" b"}'),
    *(b'{"source":"","destination":""}', b'{"source":"a\\"b","destination":"c"}', b'{"model":"a","options":[]}'),
    *(b'{"model":"a","keep_alive":"x"}', b'{"model":"a","keep_alive":"10"}', b'{"model":"a","keep_alive":true}'),
    *(b'{"model":"a","keep_alive":{}}', b'{"model":"a","stream":"x"}', b'{"model":"a","verbose":"x"}'),
]


def test_every_method_of_every_route(pair: Pair) -> None:
    routes = [*ROUTES, *POSTS, "/api/pull", "/api/delete", "/api/nothing", "/nothing", "/api"]
    requests = [Request(method, route) for method in METHODS for route in routes]
    pair.compare([one for one in requests if str(one) != "GET /api/status"])


def test_guards_of_host_and_origin(pair: Pair) -> None:
    hosts = ["localhost", "localhost:1", "example.com", "127.0.0.1", "10.1.2.3", "8.8.8.8", "192.168.1.1:99", ""]
    hosts += ["172.15.0.1", "172.16.0.1", "0.0.0.0", "a.localhost", "a.local", "A.INTERNAL:80", "localhostx"]
    hosts += ["[::1]:11434", "::1", socket.gethostname()]
    origins = ["http://localhost", "https://localhost:8080", "http://127.0.0.1:3000", "http://example.com", "null"]
    origins += ["app://x", "file://", "tauri://localhost", "http://localhost.example.com", "ftp://localhost"]
    requests = [Request("GET", "/api/version", headers={"Host": host}) for host in hosts]
    requests += [Request("GET", "/api/version", headers={"Origin": origin}) for origin in origins]
    pair.compare(requests)


@pytest.mark.parametrize(
    "path",
    [
        "/api/show",
        "/api/copy",
        "/api/pull",
        "/api/generate",
        "/api/chat",
        "/api/embed",
        "/api/delete",
    ],
)
def test_bad_bodies(pair: Pair, path: str) -> None:
    method = "DELETE" if path == "/api/delete" else "POST"
    bodies = BODIES if path != "/api/pull" else [body for body in BODIES if not _names_a_model(body)]
    pair.compare([Request(method, path, body) for body in bodies])


@pytest.mark.parametrize("path", ["/api/show", *POSTS[1:], "/api/delete", "/api/pull"])
def test_names_that_are_not_there_or_cannot_be(pair: Pair, path: str) -> None:
    if path == "/api/copy":
        requests = [post(path, source=name, destination="other") for name in NAMES]
        requests += [post(path, source="nothing", destination=name) for name in NAMES]
    elif path == "/api/delete":
        requests = [delete(model=name) for name in NAMES]
    elif path == "/api/pull":
        # Names that could be would be looked for in the world.
        requests = [post(path, model=name) for name in NAMES if "nothing" not in name.lower() and "/../" not in name]
        requests += [post(path, model=pair.registry.name_of("nothing"), insecure=True)]
        requests += [post(path, model=pair.registry.name_of("nothing"), insecure=True, stream=False)]
    else:
        requests = [post(path, model=name) for name in NAMES]
    pair.compare(requests)


def test_a_life_of_models(pair: Pair) -> None:
    """Pull, list, show, copy, load, answer, unload, remove."""
    tiny, embed = pair.registry.name_of("tiny"), pair.registry.name_of("embed")
    tags, ps = Request("GET", "/api/tags"), Request("GET", "/api/ps")
    say = [{"role": "user", "content": "hello"}]
    few = {"num_predict": 4, "temperature": 0}
    story = [
        *(tags, ps, fetch(tiny), post("/api/pull", model=tiny, insecure=True)),
        *(post("/api/pull", model=tiny, insecure=True, stream=False), tags, Request("HEAD", "/api/tags")),
        *(post("/api/show", model=tiny), post("/api/show", name=f" {tiny} "), post("/api/show", model=tiny.upper())),
        *(post("/api/copy", source=tiny, destination="tiny"), post("/api/copy", source="TINY", destination="other")),
        *(post("/api/copy", source="tiny", destination="Tiny"), post("/api/copy", source="tiny", destination="tiny")),
        *(post("/api/copy", source=" tiny", destination="x"), post("/api/copy", source="tiny", destination="u/deep:t")),
        *(tags, post("/api/show", model="tiny"), post("/api/show", model="tiny:local")),
        *(post("/api/generate", model="tiny"), ps, post("/api/generate", model="TINY", keep_alive="2h"), ps),
        *(post("/api/chat", model="tiny"), post("/api/chat", model="tiny", messages=[]), ps),
        post("/api/generate", model="tiny", prompt="hello", options=few),
        post("/api/generate", model="tiny", prompt="hello", options=few, stream=False),
        post("/api/generate", model="tiny", prompt="hello", options=few, stream=False, raw=True),
        post("/api/chat", model="tiny", messages=say, options=few),
        post("/api/chat", model="tiny", messages=say, options=few, stream=False),
        post("/api/chat", model="tiny", messages=say, think=True),
        post("/api/generate", model="tiny", prompt="hello", think=True),
        post("/api/generate", model="tiny", options={"num_ctx": "x"}),
        post("/api/generate", model="tiny", options={"temperature": "x"}),
        *(post("/api/embed", model="tiny", input="hello"), post("/api/embed", model="tiny")),
        *(post("/api/generate", model="tiny", keep_alive=0), post("/api/generate", model="tiny", keep_alive=0)),
        *(post("/api/chat", model="tiny", messages=[], keep_alive="0s"), post("/api/generate", model="", keep_alive=0)),
        *(delete(model="nothing"), delete(name="Other"), delete(model="U/Deep:T"), delete(model="tiny"), tags),
        *(delete(model="tiny"), delete(model=tiny), tags),
        *(fetch(embed), post("/api/pull", name=embed, insecure=True), post("/api/show", model=embed)),
        *(post("/api/embed", model=embed, input="x"), post("/api/embed", model=embed, input=["x", "y"]), ps),
        *(post("/api/embed", model=embed, input=[]), post("/api/embed", model=embed), post("/api/embed", model=embed)),
        *(post("/api/embed", model=embed, input=""), post("/api/embed", model=embed, input=1)),
        *(post("/api/generate", model=embed), post("/api/generate", model=embed, prompt="x")),
        *(post("/api/chat", model=embed, messages=say), post("/api/generate", model=embed, keep_alive=0)),
        *(delete(model=embed), tags),
    ]
    pair.compare(story)


def _names_a_model(body: bytes) -> bool:
    """Tell whether a pull with this body would go out into the world. Go reads the first document only."""
    with suppress(ValueError):
        value, _ = json.JSONDecoder().raw_decode(body.decode("utf-8", "replace").strip())
        return isinstance(value, dict) and any(
            isinstance(value.get(key), str) and value[key] for key in ("model", "name")
        )
    return False
