"""What the routes answer beside the recorded exchanges of a real server: statuses, words, names and kinds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.demo.comparing import ask, differences
from tests.demo.recorded import BIG, EMBED, MID, MODELS, QUICK_BYTES_PER_S, RECORDINGS, TINY, pull, recording, talk_to
from tests.support.demo_server import DemoServer

pytestmark = pytest.mark.anyio

SCRIPT: dict[str, Any] = {"models": MODELS, "rate_bytes_per_s": QUICK_BYTES_PER_S, "tokens_per_s": 1000}

# Exchanges that other tests do again: whole stories, ends by a signal, and chats that need its tokenizer.
ELSEWHERE = {
    "chat/long-chats",
    *("api/trash-and-restore", "api/pull-embed", "errors/server-busy", "errors/chat-runner-killed"),
    *("chat/closed-by-client", "chat/server-terminated", "api/ps-after-runner-killed"),
}

ERRORS_WITHOUT_MODELS = (
    *("blob-bad-digest", "create-nothing", "create-bad-name", "create-bad-file-name", "create-unknown-blob"),
    *("push-missing", "me", "web-search", "cloud-chat", "v1-chat-missing", "v1-model-missing", "blob-head-missing"),
    *("no-body", "wrong-type", "wrong-method", "unknown-path", "host-guard", "origin-guard"),
    *("show-missing", "delete-missing", "copy-missing", "generate-missing", "chat-missing", "embed-missing"),
    *("pull-bad-name", "pull-empty-name", "pull-missing", "unload-after-delete"),
)
ERRORS_WITH_MODELS = (
    *("chat-bad-keep-alive", "chat-bad-option", "chat-bad-format", "chat-image-unsupported", "chat-bad-role"),
    *("chat-think-unsupported", "chat-tools-unsupported", "chat-with-embedding-model"),
    *("embed-empty", "embed-not-an-embedding-model", "create-bad-template", "create-bad-parameter"),
    *("chat-context-overflow", "generate-context-overflow-no-truncate", "chat-huge-context"),
)
REGISTRY_FAILURES = {
    "pull-registry-500": {"fails": "500", "body": '{"errors":[{"code":"X","message":"made to fail"}]}'},
    "pull-registry-401": {"fails": "401"},
    "pull-registry-down": {"fails": "down"},
    "pull-no-registry": {"fails": "offline"},
    "pull-cloud": {"fails": "offline"},
    "pull-not-insecure": {"insecure_only": True},
    "pull-proxy-gone": {"fails": "proxy"},
    "create-missing-from": {"fails": "offline"},
}


async def test_errors_before_any_model(tmp_path: Path) -> None:
    found: list[str] = []
    async with DemoServer(tmp_path, SCRIPT) as demo, talk_to(demo.base_url) as client:
        for name in ERRORS_WITHOUT_MODELS:
            theirs, ours = await ask(client, f"errors/{name}")
            assert ours.headers["ollama-simulated"] == "1"
            found += differences(name, theirs, ours, words=True)
        bad_json = recording("errors/bad-json")
        ours = await client.post(bad_json["request"]["path"], content="{oops")
        found += differences("bad-json", bad_json["response"], ours, words=True)
    assert not found, "\n".join(found)


@pytest.mark.parametrize("name", sorted(REGISTRY_FAILURES))
async def test_registry_failures(tmp_path: Path, name: str) -> None:
    script = {**SCRIPT, "registry": REGISTRY_FAILURES[name]}
    async with DemoServer(tmp_path, script) as demo, talk_to(demo.base_url) as client:
        theirs, ours = await ask(client, f"errors/{name}")
    assert differences(name, theirs, ours, words=True) == []


async def test_errors_of_installed_models(tmp_path: Path) -> None:
    found: list[str] = []
    async with DemoServer(tmp_path, SCRIPT) as demo, talk_to(demo.base_url) as client:
        assert (await pull(demo.base_url, TINY)).phases == (await pull(demo.base_url, EMBED)).phases
        await pull(demo.base_url, BIG)
        for name in ERRORS_WITH_MODELS:
            theirs, ours = await ask(client, f"errors/{name}")
            found += differences(name, theirs, ours, words=theirs["status"] != 200)
            if name == "chat-context-overflow":
                assert ours.json()["prompt_eval_count"] == json.loads(theirs["body"])["prompt_eval_count"] == 2050
    assert not found, "\n".join(found)


async def test_models_listed_loaded_and_unloaded(tmp_path: Path) -> None:
    found: list[str] = []

    async def like(name: str, *, words: bool = False) -> httpx.Response:
        theirs, ours = await ask(client, name)
        found.extend(differences(name, theirs, ours, words=words))
        return ours

    async with DemoServer(tmp_path, SCRIPT) as demo, talk_to(demo.base_url) as client:
        for name in ("api/root", "api/root-head", "api/status", "api/tags-empty", "api/ps-empty"):
            await like(name, words=True)
        await like("api/version")
        for model in (TINY, f"{TINY}:sys", MID, EMBED):
            await pull(demo.base_url, model)
        for name in ("api/tags", "api/show", "api/show-embed", "api/show-mid", "api/show-verbose"):
            await like(name)
        await like("api/copy", words=True)
        await like("api/copy-bad-destination", words=True)
        await like("api/copy-onto-existing", words=True)
        await like("api/tags-copied")
        await like("api/delete", words=True)

        for name in ("chat/generate", "chat/chat", "chat/chat-not-streamed"):
            await like(name)
        for name in ("chat/chat-format-json", "chat/chat-format-schema", "api/embed"):
            await like(name)
        await like("api/ps")
        await like("chat/load")
        pinned = await like("api/ps-pinned")
        assert "2318" < next(one for one in pinned.json()["models"] if TINY in one["name"])["expires_at"] < "2400"
        await like("chat/unload")
        unloaded = await client.get("/api/ps")
        assert f"{TINY}:" not in unloaded.text
        await client.post("/api/generate", json={"model": EMBED, "keep_alive": 0})
        await client.post("/api/embed", json={"model": EMBED, "keep_alive": 0})
        await like("api/ps-after-unload", words=True)
        await like("chat/load-other-context")
        small = await like("api/ps-small-context")
        assert small.json()["models"][0]["context_length"] == 512
        await client.post("/api/generate", json={"model": MID, "keep_alive": -1})
        await like("api/ps-two")
        await client.post("/api/generate", json={"model": TINY, "keep_alive": 0})
        await like("api/delete-loaded", words=True)
        deleted = await like("api/ps-after-delete")
        assert [one["name"] for one in deleted.json()["models"]] == [f"{MID}:latest"]
    assert not found, "\n".join(found)


async def test_trash_and_restore(tmp_path: Path) -> None:
    """Copy, delete, copy back: the blobs are never touched."""
    theirs = recording("api/trash-and-restore")["steps"]
    trash = "launcher-trash/mid"
    requests: list[tuple[str, str, dict[str, str]]] = [
        ("POST", "/api/copy", {"source": MID, "destination": trash}),
        ("DELETE", "/api/delete", {"model": MID}),
        ("POST", "/api/copy", {"source": trash, "destination": MID}),
        ("DELETE", "/api/delete", {"model": trash}),
    ]
    async with DemoServer(tmp_path, SCRIPT) as demo, talk_to(demo.base_url) as client:
        await pull(demo.base_url, MID)
        before = (await client.get("/api/tags")).json()["models"][0]
        blobs = sorted(path.name for path in demo.blobs_dir.iterdir())
        assert len(blobs) == len(theirs[0]["blobs"])
        for step, (method, path, body) in zip(theirs[1:], requests, strict=False):
            answer = await client.request(method, path, json=body)
            names = {one["name"] for one in (await client.get("/api/tags")).json()["models"]}
            assert (answer.status_code, names) == (step["status"], set(step["names"])), step["step"]
            assert sorted(path.name for path in demo.blobs_dir.iterdir()) == blobs
        after = (await client.get("/api/tags")).json()["models"][0]
    assert after["digest"] == before["digest"]
    assert after["modified_at"] != before["modified_at"]


async def test_delete_takes_the_blobs_nobody_else_uses(tmp_path: Path) -> None:
    async with DemoServer(tmp_path, SCRIPT) as demo, talk_to(demo.base_url) as client:
        await pull(demo.base_url, TINY)
        await pull(demo.base_url, MID)
        await client.request("DELETE", "/api/delete", json={"model": TINY.upper().replace("LOCALHOST", "localhost")})
        left = {path.name[7:19] for path in demo.blobs_dir.iterdir()}
        assert {"caccf74e7b08", "f88f322dd0ec"} <= left
        assert "8e54ab5b7233" not in left
        await client.request("DELETE", "/api/delete", json={"model": MID})
        assert list(demo.blobs_dir.iterdir()) == []


async def test_a_trailing_slash_is_sent_where_it_belongs(tmp_path: Path) -> None:
    async with DemoServer(tmp_path) as demo, talk_to(demo.base_url) as client:
        moved = await client.get("/api/tags/")
        assert (moved.status_code, moved.headers["location"]) == (301, "/api/tags")
        kept = await client.post("/api/chat/", json={})
        assert (kept.status_code, kept.headers["location"]) == (307, "/api/chat")
        assert (await client.get("/api/blobs/")).status_code == 404


async def test_registry_routes(tmp_path: Path) -> None:
    async with DemoServer(tmp_path, SCRIPT) as demo, talk_to(demo.base_url) as client:
        answer = await client.get("/v2/library/qwen3/manifests/8b")
        manifest = answer.json()
        assert answer.headers["content-type"] == "application/vnd.docker.distribution.manifest.v2+json"
        assert answer.headers["ollama-simulated"] == "1"
        for layer in [*manifest["layers"], manifest["config"]]:
            head = await client.head(f"/v2/library/qwen3/blobs/{layer['digest']}")
            assert (head.status_code, int(head.headers["content-length"])) == (200, layer["size"])
        assert (await client.get("/v2/library/nothing/manifests/latest")).status_code == 404
        assert (await client.head("/v2/library/qwen3/manifests/8b")).status_code == 200


@pytest.mark.parametrize(
    "name", ["llama3.2:1b", "qwen3:8b", "gemma3:4b", "nomic-embed-text", "qwen3", "user/nothing"], ids=str
)
async def test_built_in_models(tmp_path: Path, name: str) -> None:
    """The total of the manifest is what tags reports after the pull."""
    script = {"scale": 0.001, "rate_bytes_per_s": 100_000_000}
    async with DemoServer(tmp_path, script) as demo, talk_to(demo.base_url) as client:
        seen = await pull(demo.base_url, name)
        if name == "user/nothing":
            assert seen.lines[-1] == {"error": "pull model manifest: file does not exist"}
            return
        assert seen.lines[-1] == {"status": "success"}
        model, _, tag = name.partition(":")
        manifest = (await client.get(f"/v2/library/{model}/manifests/{tag or 'latest'}")).json()
        sizes = [layer["size"] for layer in [*manifest["layers"], manifest["config"]]]
        (listed,) = (await client.get("/api/tags")).json()["models"]
        assert listed["size"] == sum(sizes)
        assert len(sizes) >= 4


def test_every_recorded_exchange_is_looked_at() -> None:
    own = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    used = {*(f"errors/{name}" for name in (*ERRORS_WITHOUT_MODELS, *ERRORS_WITH_MODELS, *REGISTRY_FAILURES))}
    recorded = {
        f"{folder}/{path.stem}"
        for folder in ("api", "chat", "create", "errors")
        for path in (RECORDINGS / folder).glob("*.json")
    }
    assert sorted(name for name in recorded - used - ELSEWHERE if f'"{name}"' not in own) == []
    assert ELSEWHERE - recorded == set()
