"""The simulated server beside a real one, in create, push, blobs, inference and the routes of OpenAI."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest

from tests.real.test_simulated import BODIES, METHODS, NAMES, Pair, Request, delete, fetch, pair, post
from tests.real.tiny_gguf import tiny_gguf

__all__ = ["pair"]

pytestmark = pytest.mark.real_ollama

_ROUTES = [
    *("/api/create", "/api/push", "/api/embeddings", "/api/me", "/api/signout", f"/api/blobs/sha256:{'0' * 64}"),
    *("/api/blobs/", "/api/blobs/x", "/api/blobs/a/b", "/api/experimental/web_search", "/api/experimental/web_fetch"),
    *("/v1/models", "/v1/models/", "/v1/models/nothing", "/v1/models/a%2Fb", "/v1/models/a/b", "/v1/completions"),
    *("/v1/chat/completions", "/v1/embeddings", "/v1", "/v1/", "/api/experimental", "/v1/models/a%20b"),
]
_POSTS = ["/api/create", "/api/push", "/api/embeddings", "/v1/completions", "/v1/chat/completions", "/v1/embeddings"]
_SAY = [{"role": "user", "content": "hello"}]
_FEW = {"num_predict": 4, "temperature": 0}
_GGUF = tiny_gguf() + bytes(64)  # no blob that a pull brings
_GGUF_DIGEST = f"sha256:{hashlib.sha256(_GGUF).hexdigest()}"
_JUNK_DIGEST = f"sha256:{hashlib.sha256(b'junk').hexdigest()}"
_TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}


def blob(digest: str, content: bytes = b"", method: str = "POST") -> Request:
    return Request(method, f"/api/blobs/{digest}", content)


def each(make: Callable[[object], Request], *values: object) -> list[Request]:
    return [make(value) for value in values]


def create(name: str, **members: object) -> Request:
    return post("/api/create", model=name, **members)


def test_every_method_of_every_route(pair: Pair) -> None:
    pair.compare([Request(method, path) for path in _ROUTES for method in METHODS])


@pytest.mark.parametrize("path", _POSTS)
def test_bad_bodies(pair: Pair, path: str) -> None:
    pair.compare([Request("POST", path, body) for body in BODIES])


@pytest.mark.parametrize("path", _POSTS)
def test_names_that_are_not_there_or_cannot_be(pair: Pair, path: str) -> None:
    names = [name for name in NAMES if path != "/api/create" or "http" not in name]
    more: dict[str, object] = {"prompt": "x", "input": "x", "messages": _SAY, "files": {}}
    pair.compare([post(path, model=name, **more) for name in names])


def test_blobs(pair: Pair) -> None:
    nothing = "sha256:" + "0" * 64
    pair.compare(
        [
            *(
                blob(nothing, method="HEAD"),
                blob(nothing, b"x"),
                blob("sha256:x", b"x"),
                blob("sha256:x", method="HEAD"),
            ),
            *(blob(_JUNK_DIGEST, b"junk"), blob(_JUNK_DIGEST, b"junk"), blob(_JUNK_DIGEST, method="HEAD")),
            *(blob(_JUNK_DIGEST, b"other"), blob(_JUNK_DIGEST.replace(":", "-"), method="HEAD")),
            *(blob(_JUNK_DIGEST.upper(), method="HEAD"), blob(_JUNK_DIGEST.replace("sha256", "md5"), method="HEAD")),
        ]
    )


def test_creations(pair: Pair) -> None:
    tiny = pair.registry.name_of("tiny")
    show = [post("/api/show", model=name) for name in ("one", "two", "three", "four", "five")]
    pair.compare(
        [
            *(fetch(tiny), blob(_GGUF_DIGEST, _GGUF), blob(_JUNK_DIGEST, b"junk")),
            create("one", **{"from": tiny}, system="Be kind.", template="{{ .Prompt }}", license=["a", "b\nc"]),
            create("two", **{"from": tiny}, parameters={"stop": ["a", "b"], "temperature": 1, "num_ctx": 512.0}),
            create(
                "three", **{"from": "one"}, messages=[*_SAY, {"role": "assistant", "content": "<ho>"}], stream=False
            ),
            create("four", files={"a.gguf": _GGUF_DIGEST}),
            create("five", files={"a": _GGUF_DIGEST}, quantize="q8_0"),
            *(create("five", **{"from": "four"}, quantize="F16"), create("five", **{"from": "five"}, quantize="Q8_0")),
            *show,
            Request("GET", "/api/tags"),
            create("x", **{"from": tiny}, template="{{ if }}"),
            create("x", **{"from": tiny}, template="{{ .Prompt"),
            create("x", **{"from": tiny}, template="{{ range .Messages }}"),
            create("x", files={"a.gguf": _JUNK_DIGEST}),
            create("x", files={"a": _JUNK_DIGEST}),
            create("x", files={"a.gguf": "sha256:x"}),
            create("x", files={"a.gguf": ""}),
            create("x", files={"/a.gguf": _GGUF_DIGEST}),
            create("x", files={"a/../b.gguf": _GGUF_DIGEST}),
            create("x", files={"a/b.gguf": _GGUF_DIGEST}, quantize="q99"),
            create("x", **{"from": tiny}, adapters={"a": _JUNK_DIGEST}),
            create("x", **{"from": tiny}, adapters={"a.gguf": _GGUF_DIGEST, "b.gguf": _GGUF_DIGEST}),
            create("x", **{"from": "a b"}),
            create("x", **{"from": tiny}, license=5),
            create("x", **{"from": tiny}, info={"model_family": 5}),
            create("x", **{"from": tiny}, info={"context_length": "5"}),
            create("x", **{"from": tiny}, info={"context_length": 1.5}),
            create("x", files={"a.gguf": 5}),
            create("x", parameters=[]),
            *(delete(model=name) for name in ("one", "two", "three", "four", "five")),
            Request("GET", "/api/tags"),
        ]
    )


def test_what_chat_and_generate_take(pair: Pair) -> None:
    tiny = pair.registry.name_of("tiny")

    def chat(**members: object) -> Request:
        return post("/api/chat", **{"model": "tiny", "messages": _SAY, "options": _FEW, "stream": False, **members})

    def generate(**members: object) -> Request:
        return post("/api/generate", **{"model": "tiny", "prompt": "x", "options": _FEW, "stream": False, **members})

    def saying(**message: object) -> Request:
        return chat(messages=[{"role": "user", "content": "x", **message}])

    pair.compare(
        [
            *(fetch(tiny), post("/api/copy", source=tiny, destination="tiny")),
            *each(lambda value: chat(options={"stop": value}), "x", [1], {}),
            *each(lambda value: chat(options={"use_mmap": value}), "x", [1], {}),
            *each(lambda value: chat(options={"top_p": value}), "x", [1], {}),
            *each(lambda value: chat(options={"seed": value}), "x", [1], {}),
            chat(options={"num_keep": 1.5, "nothing": "x", "top_k": None, "num_predict": 2}),
            *each(lambda value: chat(think=value), "x", 1, "low", False, None, ""),
            *each(lambda value: chat(top_logprobs=value), -1, 21, "x", 1.5, 0),
            *each(lambda value: chat(format=value), "", "yaml", 5, [], None, True),
            *each(lambda value: chat(messages=value), ["x"], [5], [[]], [None], [{}], {}, "x"),
            *each(lambda value: saying(role=value), 5, None, "wizard", "USER", ""),
            *each(lambda value: saying(content=value), 5, None, [], ""),
            *each(lambda value: saying(images=value), "x", ["!!"], ["aGk="], [5], ["a"], [""], [], ["aGk"]),
            *each(lambda value: chat(tools=value), [], [_TOOL], [{}], "x", [5]),
            *each(lambda value: chat(truncate=value), "x", False),
            *(
                generate(suffix="x"),
                generate(raw=True, system="x"),
                generate(raw=True, context=[1]),
                generate(raw=True),
            ),
            *(generate(template="{{ .Prompt"), generate(images=["aGk="]), generate(images=["!"])),
            *(generate(context=["x"]), generate(format="yaml"), generate(format="yaml", stream=True)),
            *(generate(think=True), generate(system=5), chat(messages=_SAY * 3, stream=True)),
            *(generate(prompt="", keep_alive=0), saying(content="word " * 3000)),
            chat(messages=[{"role": "user", "content": "word " * 3000}], shift=False),
        ]
    )


def test_embeddings(pair: Pair) -> None:
    embed, tiny = pair.registry.name_of("embed"), pair.registry.name_of("tiny")
    values: tuple[object, ...] = ("x", ["x", ""], [], "", None, 5, [5])
    pair.compare(
        [
            *(fetch(embed), fetch(tiny)),
            *each(lambda value: post("/api/embed", model=embed, input=value), *values, {}),
            *each(lambda value: post("/api/embed", model=embed, input="x", dimensions=value), 2, 0, -1, 1000, "x"),
            post("/api/embed", model=embed, input="word " * 3000, truncate=False),
            *each(lambda value: post("/api/embeddings", model=embed, prompt=value), "x", "", 5, ["x"]),
            *(post("/api/embeddings", model=tiny, prompt="x"), post("/api/embed", model=tiny, input="x")),
            *each(lambda value: post("/v1/embeddings", model=embed, input=value), *values),
            post("/v1/embeddings", model=embed, input="x", encoding_format="hex"),
            post("/v1/embeddings", model=tiny, input="x"),
        ]
    )


def test_the_words_of_openai(pair: Pair) -> None:
    tiny = pair.registry.name_of("tiny")

    def chat(**members: object) -> Request:
        return post("/v1/chat/completions", **{"model": "tiny", "messages": _SAY, "max_tokens": 4, **members})

    def saying(content: object) -> Request:
        return chat(messages=[{"role": "user", "content": content}])

    def showing(url: object) -> Request:
        return saying([{"type": "image_url", "image_url": url}])

    def complete(**members: object) -> Request:
        return post("/v1/completions", model="tiny", **members)

    pair.compare(
        [
            *(fetch(tiny), post("/api/copy", source=tiny, destination="tiny"), chat()),
            *(Request("GET", "/v1/models"), Request("GET", "/v1/models/tiny")),
            Request("GET", "/v1/models/TINY:latest"),
            *each(lambda value: chat(messages=value), [], None, "x", ["x"]),
            *each(saying, None, 5, {}, [], ["x"], [{"type": "text", "text": "x"}], [{"type": "nothing"}]),
            *each(showing, "http://x/y.png", {"url": "data:image/png;base64,aGk="}, "data:image/gif;base64,aGk=", 5),
            *each(lambda value: chat(reasoning_effort=value), "high", "huge", "none", 5),
            *each(lambda value: chat(stop=value), "x", ["x", 5]),
            *(chat(tools=[_TOOL]), chat(reasoning={"effort": "low"}), chat(response_format={"type": "text"})),
            *(chat(max_tokens="x"), chat(temperature="x"), chat(stream="x")),
            *(complete(), complete(prompt=["x"]), complete(prompt="x", suffix="y"), complete(prompt="x", max_tokens=3)),
        ]
    )


def test_pushes(pair: Pair) -> None:
    tiny = pair.registry.name_of("tiny")
    pair.compare(
        [
            fetch(tiny),
            *each(lambda value: post("/api/push", model=value), "nothing", "", "a b", "user/nothing:t"),
            post("/api/push", model="nothing", stream=False),
        ]
    )
