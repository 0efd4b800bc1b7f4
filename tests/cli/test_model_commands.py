"""The commands about models, from the first download to the removal."""

from __future__ import annotations

import socket
import sys
import time

import pytest

from tests.cli.launched import Launched

LIST_MEMBERS = [
    "name",
    "size_bytes",
    "digest",
    "modified_at",
    "family",
    "parameter_size",
    "quantization",
    "capabilities",
    "loaded",
]
LOADED_MEMBERS = ["name", "size_bytes", "size_vram_bytes", "context_length", "expires_at"]


def test_the_life_of_a_model(launched: Launched) -> None:
    launched.started()
    assert "No model" in launched.run("models", "list").out
    assert launched.run("models", "list", "--json").fact == []
    assert launched.run("models", "pull", "llama3.2:1b").code == 0

    (listed,) = launched.run("models", "list", "--json").fact
    assert list(listed) == LIST_MEMBERS
    assert (listed["name"], listed["loaded"]) == ("llama3.2:1b", False)
    assert "llama3.2:1b" in launched.run("models", "list").out

    loaded = launched.run("models", "load", "llama3.2:1b", "--keep-alive", "10m")
    assert (loaded.code, "is loaded" in loaded.out) == (0, True)
    (told,) = launched.run("status", "--json").fact["models_loaded"]
    assert list(told) == LOADED_MEMBERS
    assert told["name"] == "llama3.2:1b"
    assert launched.run("models", "list", "--json").fact[0]["loaded"] is True

    unloaded = launched.run("models", "unload", "llama3.2:1b")
    assert (unloaded.code, "is unloaded" in unloaded.out) == (0, True)
    assert launched.run("status", "--json").fact["models_loaded"] == []
    assert "was not loaded" in launched.run("models", "unload", "llama3.2:1b").out

    shown = launched.run("models", "show", "llama3.2:1b")
    assert "completion" in shown.out
    assert launched.run("models", "show", "llama3.2:1b", "--json").fact["name"] == "llama3.2:1b"

    assert launched.run("models", "cp", "llama3.2:1b", "mine").code == 0
    assert launched.run("models", "cp", "llama3.2:1b", "mine").code == 0
    # One that is in memory is unloaded first: afterwards nobody could.
    assert launched.run("models", "load", "mine").code == 0
    removed = launched.run("models", "rm", "mine", "llama3.2:1b")
    assert (removed.code, len(removed.out.splitlines())) == (0, 2)
    assert launched.run("status", "--json").fact["models_loaded"] == []
    assert launched.run("models", "list", "--json").fact == []


def test_a_copy_does_not_replace_another_model(launched: Launched) -> None:
    launched.started()
    assert launched.run("models", "pull", "llama3.2:1b", "nomic-embed-text").code == 0
    refused = launched.run("models", "cp", "llama3.2:1b", "nomic-embed-text")
    assert (refused.code, "--overwrite" in refused.err) == (1, True)
    assert launched.run("models", "cp", "nope", "nomic-embed-text").code == 4
    same = launched.run("models", "cp", "llama3.2:1b", "LLAMA3.2:1b")
    assert (same.code, "Both names" in same.err) == (2, True)
    assert launched.run("models", "cp", "nope", "nope").code == 4
    assert launched.run("models", "cp", "llama3.2:1b", "nomic-embed-text", "--overwrite").code == 0


def test_a_model_that_is_not_there(launched: Launched) -> None:
    launched.started()
    for arguments in (("show", "nope"), ("load", "nope"), ("unload", "nope"), ("rm", "nope"), ("cp", "nope", "x")):
        ended = launched.run("models", *arguments)
        assert (ended.code, ended.out) == (4, ""), arguments
        assert "nope" in ended.err
    unknown = launched.run("models", "pull", "nope")
    assert unknown.code == 4
    assert "nope" in unknown.err


def test_removing_several_goes_on_after_one_that_is_not_there(launched: Launched) -> None:
    launched.started()
    assert launched.run("models", "pull", "nomic-embed-text").code == 0
    ended = launched.run("models", "rm", "nope", "nomic-embed-text")
    assert (ended.code, "nomic-embed-text:latest is removed." in ended.out) == (4, True)


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(("pull", "a/b/c/d"), id="pull"),
        pytest.param(("pull", ""), id="pull of nothing"),
        pytest.param(("pull", "ok", "x:"), id="second of two"),
        pytest.param(("show", "x:a:b"), id="show"),
        pytest.param(("rm", "ü"), id="rm"),
        pytest.param(("cp", "ok", "no spaces"), id="cp"),
        pytest.param(("load", "-"), id="load"),
        pytest.param(("unload", "localhost:5000/x"), id="unload"),
        pytest.param(("load", "ok", "--keep-alive", "soon"), id="keep-alive of no time"),
        pytest.param(("load", "ok", "--keep-alive", "0"), id="keep-alive of zero"),
        pytest.param(("pull",), id="no name"),
        pytest.param(("dance",), id="no such command"),
    ],
)
def test_wrong_usage(launched: Launched, arguments: tuple[str, ...]) -> None:
    ended = launched.run("models", *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(("list",), id="list"),
        pytest.param(("show", "x"), id="show"),
        pytest.param(("pull", "x"), id="pull"),
        pytest.param(("rm", "x"), id="rm"),
        pytest.param(("cp", "x", "y"), id="cp"),
        pytest.param(("load", "x"), id="load"),
        pytest.param(("unload", "x"), id="unload"),
    ],
)
def test_without_a_server(launched: Launched, arguments: tuple[str, ...]) -> None:
    ended = launched.run("models", *arguments)
    assert (ended.code, ended.out.splitlines()[1:]) == (3, [])
    assert "Start it with: ollama-launcher start\n" in ended.err
    elsewhere = launched.run("models", *arguments, "--host", f"127.0.0.1:{launched.port}")
    assert f"ollama-launcher start --host 127.0.0.1:{launched.port}\n" in elsewhere.err


@pytest.mark.parametrize("arguments", [("list",), ("rm", "x"), ("load", "x")], ids=lambda words: words[0])
def test_a_server_that_says_nothing(launched: Launched, arguments: tuple[str, ...]) -> None:
    with socket.create_server(("127.0.0.1", launched.port)):
        began_s = time.monotonic()
        ended = launched.run("models", *arguments)
        took_s = time.monotonic() - began_s
    assert (ended.code, "did not answer in time" in ended.err) == (3, True)
    assert took_s < 15


def test_answers_that_are_not_json(launched: Launched) -> None:
    launched.started({"answers": {"garbage": ["/api/tags", "/api/ps"]}})
    ended = launched.run("models", "list")
    assert (ended.code, ended.err.startswith("Error: ")) == (1, True)
    status = launched.run("status", "--json")
    assert (status.code, status.fact["models_installed"]) == (0, None)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows knows the home otherwise")
def test_a_server_elsewhere_needs_no_home(launched: Launched) -> None:
    launched.started()
    homeless = dict.fromkeys(("HOME", "LAUNCHER_STATE_DIR", "LAUNCHER_CONFIG_DIR", "XDG_STATE_HOME", "XDG_CONFIG_HOME"))
    listed = launched.run("models", "list", "--json", changes=homeless)
    assert (listed.code, listed.fact, listed.err) == (0, [], "")
