"""Models made of others, of files and by quantizing, and models that are pushed."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path
from typing import Any

import httpx
import pytest

from launcher.demo.gguf import NotGguf, read_gguf
from launcher.demo.templates import template_fault
from tests.demo.comparing import ask, differences
from tests.demo.recorded import MID, MODELS, QUICK_BYTES_PER_S, TINY, mask, pull, recording, talk_to, weights_of
from tests.support.demo_server import DemoServer

SCRIPT: dict[str, Any] = {"models": MODELS, "rate_bytes_per_s": QUICK_BYTES_PER_S, "tokens_per_s": 1000}
RECORDED_TINY = "sha256:6fb1d7dcfdd310345720bea4220a7222d51b79b9048c87078ff2f78561f3a1df"
RECORDED_MID = "sha256:75e8ffeaa48480e39bf2d8c5776c04c149f2a0417fbd29b7efb63fcecc21842a"
RECORDED_JUNK = "sha256:b94f6f125c79e3a5ffaa826f584c10d52ada669e6762051b826b55776d05aed2"
TEXT, UINT32, ARRAY = 8, 4, 9


def gguf_text(text: str) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode()


def gguf(architecture: str = "llama", file_type: int = 1, template: str = "") -> bytes:
    """A file that begins as a model of 4096 parameters does."""
    pairs = [
        gguf_text("general.architecture") + struct.pack("<I", TEXT) + gguf_text(architecture),
        gguf_text("general.file_type") + struct.pack("<II", UINT32, file_type),
        gguf_text(f"{architecture}.context_length") + struct.pack("<II", UINT32, 2048),
        gguf_text(f"{architecture}.embedding_length") + struct.pack("<II", UINT32, 64),
        gguf_text("tokenizer.ggml.tokens") + struct.pack("<IIQ", ARRAY, TEXT, 2) + gguf_text("a") + gguf_text("b"),
        gguf_text("tokenizer.ggml.scores") + struct.pack("<IIQ", ARRAY, 6, 2) + struct.pack("<ff", 0.0, 1.0),
        gguf_text("tokenizer.chat_template") + struct.pack("<I", TEXT) + gguf_text(template),
    ]
    tensor = gguf_text("token_embd.weight") + struct.pack("<IQQIQ", 2, 64, 64, 1, 0)
    return b"GGUF" + struct.pack("<IQQ", 3, 1, len(pairs)) + b"".join(pairs) + tensor + bytes(8192)


async def upload(client: httpx.AsyncClient, content: bytes) -> str:
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert (await client.post(f"/api/blobs/{digest}", content=content)).status_code in (200, 201)
    return digest


async def create(client: httpx.AsyncClient, **body: Any) -> list[dict[str, Any]]:
    answer = await client.post("/api/create", json=body)
    return [json.loads(line) for line in answer.text.splitlines()]


@pytest.mark.anyio
async def test_recorded_creations(tmp_path: Path) -> None:
    found: list[str] = []
    async with DemoServer(tmp_path, SCRIPT) as demo, talk_to(demo.base_url) as client:
        for model in (TINY, MID):
            await pull(demo.base_url, model)
        digests = {
            RECORDED_TINY: (await weights_of(demo.base_url, TINY)).replace("-", ":"),
            RECORDED_MID: (await weights_of(demo.base_url, MID)).replace("-", ":"),
            RECORDED_JUNK: await upload(client, b"junk"),
        }
        for name in (
            *("create/from-model", "create/from-gguf", "create/from-gguf-quantize", "create/from-gguf-quantize-mid"),
            *("errors/create-bad-quantize", "errors/create-not-gguf"),
        ):
            theirs, ours = await ask(client, name, digests)
            found += differences(name, theirs, ours, words=True)
        theirs, ours = await ask(client, "create/show-pirate")
    assert not found, "\n".join(found)
    their_pirate, pirate = json.loads(theirs["body"]), ours.json()
    for member in ("license", "template", "system", "parameters", "details", "capabilities"):
        assert pirate[member] == their_pirate[member], member
    assert mask(pirate["modelfile"]) == mask(their_pirate["modelfile"])


@pytest.mark.anyio
async def test_the_layers_of_texts_are_those_of_a_real_server(tmp_path: Path) -> None:
    """Same texts, same digests: the lines name them."""
    recorded = {json.loads(text)["status"] for _, text in recording("create/from-model")["response"]["lines"]}
    async with DemoServer(tmp_path, SCRIPT) as demo, talk_to(demo.base_url) as client:
        await pull(demo.base_url, TINY)
        own = {line["status"] for line in await create(client, **recording("create/from-model")["request"]["body"])}
    assert len(own - recorded) == 1, "the weights"


@pytest.mark.anyio
async def test_a_model_made_of_a_file_is_what_the_file_says(tmp_path: Path) -> None:
    async with DemoServer(tmp_path, SCRIPT) as demo, talk_to(demo.base_url) as client:
        digest = await upload(client, gguf("qwen3", template="{{ tools }} <think>"))
        assert (await create(client, model="mine", files={"a.gguf": digest}))[-1] == {"status": "success"}
        shown = (await client.post("/api/show", json={"model": "mine"})).json()
        assert shown["details"]["family"] == "qwen3"
        assert shown["details"]["parameter_size"] == "4K"
        assert shown["model_info"]["qwen3.context_length"] == 2048
        assert shown["capabilities"] == ["completion", "tools", "thinking"]
        answer = await client.post("/api/generate", json={"model": "mine", "prompt": "x", "stream": False})
        assert answer.json()["done_reason"] == "stop"

        quantized = await create(client, model="small", **{"from": "mine"}, quantize="q4_k_m")
        assert quantized[0] == {"status": "verifying conversion"}
        tags = {one["name"]: one for one in (await client.get("/api/tags")).json()["models"]}
        assert tags["small:latest"]["details"]["quantization_level"] == "Q4_K_M"
        assert tags["small:latest"]["size"] < tags["mine:latest"]["size"]
        again = await create(client, model="smaller", **{"from": "small"}, quantize="q8_0")
        assert again[-1] == {"error": "quantization is only supported for F16, BF16 and F32 models"}


@pytest.mark.anyio
async def test_messages_licences_and_parameters_are_kept_and_replaced(tmp_path: Path) -> None:
    said = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]
    async with DemoServer(tmp_path, SCRIPT) as demo, talk_to(demo.base_url) as client:
        await pull(demo.base_url, TINY)
        source = {"from": TINY}
        await create(client, model="one", **source, messages=said, license=["a", "b"], parameters={"num_ctx": 2048})
        before = set(demo.blobs_dir.iterdir())
        await create(client, model="one", **{"from": "one"}, parameters={"num_ctx": 1024})
        shown = (await client.post("/api/show", json={"model": "one"})).json()
        assert shown["messages"] == said
        assert shown["license"].endswith("\na\nb")
        assert "num_ctx                        1024" in shown["parameters"]
        assert "temperature                    0.8" in shown["parameters"]
        assert len(before - set(demo.blobs_dir.iterdir())) == 1, "the parameters of before, which nobody else uses"
        await client.post("/api/chat", json={"model": "one", "messages": []})
        assert (await client.get("/api/ps")).json()["models"][0]["context_length"] == 1024


@pytest.mark.anyio
async def test_missing_sources_are_pulled_first(tmp_path: Path) -> None:
    async with DemoServer(tmp_path, SCRIPT) as demo, talk_to(demo.base_url) as client:
        lines = await create(client, model="one", **{"from": TINY})
        assert lines[0] == {"status": "pulling manifest"}
        assert [line for line in lines if line.get("status") == "success"] == [{"status": "success"}] * 2
        names = {one["name"] for one in (await client.get("/api/tags")).json()["models"]}
    assert names == {"one:latest", f"{TINY}:latest"}


@pytest.mark.anyio
async def test_without_a_stream_only_the_end_is_told(tmp_path: Path) -> None:
    async with DemoServer(tmp_path, SCRIPT) as demo, talk_to(demo.base_url) as client:
        await pull(demo.base_url, TINY)
        wish: dict[str, Any] = {"model": "one", "from": TINY, "stream": False}
        good = await client.post("/api/create", json=wish)
        assert (good.status_code, good.json()) == (200, {"status": "success"})
        bad = await client.post("/api/create", json={**wish, "template": "{{ end }}"})
        assert (bad.status_code, bad.json()["error"]) == (400, "template error: template: :1: unexpected {{end}}")


@pytest.mark.anyio
async def test_a_pushed_model_can_be_pulled(tmp_path: Path) -> None:
    async with DemoServer(tmp_path, SCRIPT) as demo, talk_to(demo.base_url) as client:
        await pull(demo.base_url, TINY)
        await create(client, model="ada/mine", **{"from": TINY}, system="Say yes.")
        answer = await client.post("/api/push", json={"model": "ada/mine"})
        lines = [json.loads(line) for line in answer.text.splitlines()]
        assert lines[0] == {"status": "retrieving manifest"}
        assert lines[-2:] == [{"status": "pushing manifest"}, {"status": "success"}]
        pushed = [line for line in lines if "digest" in line]
        assert {line["status"] for line in pushed} == {f"pushing {line['digest'][7:19]}" for line in pushed}
        assert all(line["completed"] == line["total"] for line in pushed[-2:])

        await client.request("DELETE", "/api/delete", json={"model": "ada/mine"})
        assert (await pull(demo.base_url, "ada/mine")).lines[-1] == {"status": "success"}
        assert (await client.post("/api/show", json={"model": "ada/mine"})).json()["system"] == "Say yes."


@pytest.mark.anyio
async def test_pushing_what_is_nobodys(tmp_path: Path) -> None:
    async with DemoServer(tmp_path, SCRIPT) as demo, talk_to(demo.base_url) as client:
        await pull(demo.base_url, TINY)
        await client.post("/api/copy", json={"source": TINY, "destination": "mine"})
        answer = await client.post("/api/push", json={"model": "mine", "stream": False})
        bad = await client.post("/api/push", json={"model": "a b"})
    assert (answer.status_code, answer.json()) == (500, {"error": "unauthorized: access denied"})
    assert json.loads(bad.text.splitlines()[-1]) == {"error": "unqualified name: registry.ollama.ai/library/a b:latest"}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{{ if .System }}{{ .System }}{{ else }}x{{ end }}{{ .Prompt }}", None),
        ("no action", None),
        ("{{- /* a comment */ -}}", None),
        ("a\n{{ .Prompt", ":2: unclosed action"),
        ("{{ range .Messages }}", ":1: unexpected EOF"),
        ("{{ end }}", ":1: unexpected {{end}}"),
        ("{{ else }}", ":1: unexpected {{else}}"),
        ("{{ }}", ":1: missing value for command"),
        ("{{ if }}", ":1: missing value for if"),
    ],
)
def test_templates(text: str, fault: str | None) -> None:
    assert template_fault(text) == fault


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(b"", "supplied file was not in GGUF format", id="empty"),
        pytest.param(b"PK\x03\x04", "supplied file was not in GGUF format", id="other"),
        pytest.param(gguf()[:200], "unexpected EOF", id="cut"),
        pytest.param(b"GGUF" + b"\xff" * 100, "unexpected EOF", id="absurd sizes"),
    ],
)
def test_files_that_are_no_models(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(NotGguf, match=words):
        read_gguf(str(path))
