"""The binary is found where it may be, named ones are taken at their word, and versions are read as they are told."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest

from launcher.server import identity
from launcher.server.errors import BinaryUnusable
from launcher.server.find import VARIABLE, Binary, binary_version, find_binary, known_places, parse_version
from tests.support.processes import until

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.blocks_loop("starting a process waits for a processor, up to 200 ms on a busy machine"),
    pytest.mark.skipif(sys.platform == "win32", reason="programs are made of scripts"),
]

RECORDINGS = Path(__file__).parents[1] / "recordings"


def _program(path: Path, body: str = "", mode: int = 0o755) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(mode)
    return path


@pytest.fixture
def everywhere(tmp_path: Path) -> dict[str, Path]:
    """An ollama in each of the places that are searched."""
    return {name: _program(tmp_path / name / "ollama") for name in ("variable", "setting", "on-path", "place")}


@pytest.mark.parametrize(
    ("given", "source"),
    [
        pytest.param(("variable", "setting", "on-path"), "environment", id="the variable wins"),
        pytest.param(("setting", "on-path"), "setting", id="then the setting"),
        pytest.param(("on-path",), "PATH", id="then PATH"),
        pytest.param((), "known place", id="then where installers put it"),
    ],
)
def test_the_order_of_the_search(everywhere: dict[str, Path], given: tuple[str, ...], source: str) -> None:
    environ = {"PATH": "/nowhere"}
    if "variable" in given:
        environ[VARIABLE] = str(everywhere["variable"])
    if "on-path" in given:
        environ["PATH"] += f":{everywhere['on-path'].parent}"
    setting = str(everywhere["setting"]) if "setting" in given else " "
    found = find_binary(setting, environ, [everywhere["place"]])
    assert found is not None
    assert found.source == source
    assert found.path == everywhere[given[0] if given else "place"]
    assert found.command == (str(found.path),)


def test_nowhere_is_no_error(tmp_path: Path) -> None:
    assert find_binary("", {"PATH": str(tmp_path)}, [tmp_path / "ollama"]) is None


def test_what_cannot_be_run_is_not_found_by_search(tmp_path: Path) -> None:
    _program(tmp_path / "a" / "ollama", mode=0o644)
    (tmp_path / "b" / "ollama").mkdir(parents=True)
    environ = {"PATH": f"{tmp_path}/a:{tmp_path}/b"}
    assert find_binary("", environ, [tmp_path / "a" / "ollama", tmp_path / "b" / "ollama"]) is None


@pytest.mark.parametrize("where", ["variable", "setting"])
@pytest.mark.parametrize(
    ("kind", "sentence"),
    [("missing", "does not exist"), ("file", "may not be run"), ("folder", "is a folder")],
    ids=lambda value: value.replace(" ", "-"),
)
def test_a_named_binary_that_cannot_be_run_is_an_error(
    everywhere: dict[str, Path], tmp_path: Path, where: str, kind: str, sentence: str
) -> None:
    named = tmp_path / "named" / "ollama"
    if kind == "file":
        _program(named, mode=0o644)
    elif kind == "folder":
        named.mkdir(parents=True)
    environ = {"PATH": str(everywhere["on-path"].parent)}
    setting = ""
    if where == "variable":
        environ[VARIABLE] = str(named)
        setting = str(everywhere["setting"])
    else:
        setting = str(named)
    with pytest.raises(BinaryUnusable, match=sentence) as caught:
        find_binary(setting, environ)
    assert str(named) in caught.value.title
    assert (VARIABLE if where == "variable" else "which the setting names") in caught.value.title
    assert caught.value.hint


def test_a_bare_name_is_searched_and_a_tilde_is_home(tmp_path: Path) -> None:
    own = _program(tmp_path / "bin" / "my-ollama")
    environ = {"PATH": str(own.parent), "HOME": str(tmp_path)}
    assert find_binary("my-ollama", environ) == Binary(own, "setting")
    assert find_binary("~/bin/my-ollama", environ) == Binary(own, "setting")
    with pytest.raises(BinaryUnusable):
        find_binary("no-such-program", environ)


def test_a_relative_place_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _program(tmp_path / "bin" / "ollama")
    monkeypatch.chdir(tmp_path)
    assert find_binary("bin/ollama", {}) == Binary(tmp_path / "bin" / "ollama", "setting")
    assert find_binary("", {"PATH": "bin"}, []) == Binary(tmp_path / "bin" / "ollama", "PATH")


@pytest.mark.parametrize(
    ("platform", "environ", "expected"),
    [
        pytest.param("linux", {"HOME": "/home/me"}, ["/usr/local/bin/ollama", "/usr/bin/ollama"], id="linux"),
        pytest.param("linux", {"HOME": "/home/me"}, ["/home/me/.local/bin/ollama"], id="linux, own"),
        pytest.param(
            "darwin",
            {"HOME": "/Users/me"},
            [
                "/Applications/Ollama.app/Contents/Resources/ollama",
                "/Users/me/Applications/Ollama.app/Contents/Resources/ollama",
                "/usr/local/bin/ollama",
                "/opt/homebrew/bin/ollama",
            ],
            id="macos",
        ),
        pytest.param("win32", {"LOCALAPPDATA": "/L"}, ["/L/Programs/Ollama/ollama.exe"], id="windows"),
        pytest.param("linux", {}, ["/usr/bin/ollama"], id="no home"),
    ],
)
def test_the_known_places(
    monkeypatch: pytest.MonkeyPatch, platform: str, environ: dict[str, str], expected: list[str]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "platform", platform)
        places = [str(place) for place in known_places(environ)]
    assert [place for place in places if place in expected] == expected
    assert all(place.startswith("/") for place in places)


@pytest.mark.parametrize(
    ("output", "version"),
    [
        pytest.param("ollama version is 0.33.0\n", "0.33.0", id="server up, same version"),
        pytest.param("ollama version is 0.32.1\nWarning: client version is 0.33.0\n", "0.33.0", id="other version"),
        pytest.param("Warning: could not connect\nWarning: client version is 0.33.0\n", "0.33.0", id="no server"),
        pytest.param("hello\n", None, id="another program"),
        pytest.param("", None, id="nothing"),
    ],
)
def test_a_version_is_read(output: str, version: str | None) -> None:
    assert parse_version(output) == version


def test_the_recorded_version_is_read() -> None:
    recorded = json.loads((RECORDINGS / "serve" / "version-no-server.json").read_text())
    assert parse_version(recorded["stdout"]) == recorded["server"]


async def test_a_binary_is_asked_without_a_server(tmp_path: Path) -> None:
    body = 'echo "asked $1 at $OLLAMA_HOST $HOME" > asked\necho "Warning: client version is 1.2.3" >&2'
    binary = _program(tmp_path / "ollama", f"cd {tmp_path}\n{body}")
    assert await binary_version(binary, {"HOME": "/home/me", "OLLAMA_HOST": "192.0.2.1", "PATH": "/bin"}) == "1.2.3"
    words = (tmp_path / "asked").read_text().split()
    assert words[:2] == ["asked", "--version"]
    assert words[3].startswith("127.0.0.1:")
    assert words[4] == "/home/me"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("exit 1", id="fails"),
        pytest.param("echo nonsense", id="says nonsense"),
        pytest.param("exec yes", id="never stops talking"),
        pytest.param("kill -9 $$", id="dies"),
    ],
)
async def test_a_binary_without_a_version_has_none(tmp_path: Path, body: str) -> None:
    assert await binary_version(_program(tmp_path / "ollama", body), {"PATH": "/usr/bin:/bin"}, limit_s=10) is None


@pytest.mark.parametrize("content", [None, b"\x7fELF garbage"], ids=["missing", "no program"])
async def test_what_cannot_be_run_has_no_version(tmp_path: Path, content: bytes | None) -> None:
    binary = tmp_path / "ollama"
    if content is not None:
        binary.write_bytes(content)
        binary.chmod(0o755)
    assert await binary_version(binary, {}) is None


async def test_a_binary_that_hangs_is_ended_with_its_helpers(tmp_path: Path) -> None:
    binary = _program(tmp_path / "ollama", f"echo $$ > {tmp_path}/pid\nsleep 600 & sleep 600")
    before_s = time.monotonic()
    assert await binary_version(binary, {"PATH": "/usr/bin:/bin"}, limit_s=0.3) is None
    assert time.monotonic() - before_s < 10
    group = int((tmp_path / "pid").read_text())
    await until(lambda: all(process.dead for process in identity.list_group(group)))
