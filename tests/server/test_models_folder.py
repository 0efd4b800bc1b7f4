"""Which folder the models are in, who uses it, and that a start removes nothing of an unfinished download."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import pytest

from launcher.errors import StorageError
from launcher.server.models_folder import (
    RefreshOutcome,
    count_models,
    folder_of,
    folder_of_user,
    is_server,
    live_users,
    mend_partials,
    models_folder,
    pulls_active,
    refresh_partials,
    unfinished,
)
from tests.support.processes import Family, until

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.blocks_loop("starting a process waits for a processor, up to 200 ms on a busy machine"),
    pytest.mark.skipif(sys.platform == "win32", reason="programs are made of scripts"),
]

RECORDINGS = Path(__file__).parents[1] / "recordings" / "pull"

_A, _B = "a" * 64, "b" * 64


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        pytest.param({"HOME": "/home/me"}, "/home/me/.ollama/models", id="default"),
        pytest.param({"HOME": "/home/me", "OLLAMA_MODELS": "/big"}, "/big", id="named"),
        pytest.param({"OLLAMA_MODELS": ' "/my models" '}, "/my models", id="quoted"),
        pytest.param({"HOME": "/home/me", "OLLAMA_MODELS": "  "}, "/home/me/.ollama/models", id="blank"),
    ],
)
def test_the_folder_is_the_servers(environ: dict[str, str], folder: str) -> None:
    assert models_folder(environ) == Path(folder)


@pytest.mark.parametrize("environ", [{}, {"HOME": ""}], ids=["no home", "empty home"])
def test_without_a_home_it_is_a_sentence(environ: dict[str, str]) -> None:
    with pytest.raises(StorageError) as caught:
        models_folder(environ)
    assert "OLLAMA_MODELS" in caught.value.hint


# --- who uses it ------------------------------------------------------------------------------------------------------


@pytest.fixture
def server(tmp_path: Path) -> Path:
    program = tmp_path / "bin" / "ollama"
    program.parent.mkdir()
    program.write_text(
        f"#!{sys.executable} -IS\nimport subprocess, sys, time\nprint('up', flush=True)\n"
        "subprocess.Popen([sys.executable, '-ISc', 'import time; time.sleep(600)', 'serve'])\ntime.sleep(600)\n"
    )
    program.chmod(0o755)
    return program


async def _serve(family: Family, program: Path, *words: str, **environ: str) -> int:
    log = family.folder / f"{len(family.groups)}.log"
    child = await family.spawn([str(program), *(words or ("serve",))], log, env=environ)
    await until(lambda: "up" in log.read_text())
    return child.pid


async def test_a_live_server_is_found_by_its_environment(family: Family, server: Path, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    pid = await _serve(family, server, HOME="/nowhere", OLLAMA_MODELS=str(folder), OLLAMA_HOST="127.0.0.1:5000")
    (user,) = live_users(folder)
    assert (user.pid, user.name, user.address) == (pid, "ollama", "127.0.0.1:5000")
    assert user.user
    assert is_server(pid)
    assert live_users(folder, except_group=pid) == []
    assert live_users(tmp_path / "others") == []


async def test_a_live_server_is_found_by_its_home(family: Family, server: Path, tmp_path: Path) -> None:
    pid = await _serve(family, server, HOME=str(tmp_path))
    (user,) = live_users(tmp_path / ".ollama" / "models")
    assert (user.pid, user.address) == (pid, None)


async def test_a_simulated_server_has_a_folder_of_its_own(family: Family, server: Path, tmp_path: Path) -> None:
    program = server.with_name("ollama-launcher")
    os.link(server, program)
    pid = await _serve(family, program, "demo", "serve", HOME=str(tmp_path))
    assert live_users(tmp_path / ".ollama" / "models") == []
    assert [user.pid for user in live_users(tmp_path / ".ollama" / "simulated")] == [pid]


async def test_links_and_dots_hide_nothing(family: Family, server: Path, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "link").symlink_to("models")
    pid = await _serve(family, server, OLLAMA_MODELS=f"{tmp_path}/bin/../link")
    assert [user.pid for user in live_users(tmp_path / "models")] == [pid]


async def test_a_relative_folder_is_where_the_server_is(family: Family, server: Path, tmp_path: Path) -> None:
    pid = await _serve(family, server, OLLAMA_MODELS="models")
    assert [user.pid for user in live_users(tmp_path / "models")] == [pid]


async def test_a_client_is_no_user(family: Family, server: Path, tmp_path: Path) -> None:
    await _serve(family, server, "list", HOME=str(tmp_path))
    assert live_users(tmp_path / ".ollama" / "models") == []


async def test_two_servers_are_both_named(family: Family, server: Path, tmp_path: Path) -> None:
    pids = [await _serve(family, server, OLLAMA_MODELS=str(tmp_path)) for _ in range(2)]
    assert sorted(user.pid for user in live_users(tmp_path)) == sorted(pids)


async def test_a_recorded_server_is_found_whatever_it_runs(family: Family, tmp_path: Path) -> None:
    child = await family.start("say('up'); forever()", says="up")
    record = family.record(child, models=str(tmp_path), address="http://127.0.0.1:5000")
    (user,) = live_users(tmp_path, [record])
    assert (user.pid, user.address) == (child.pid, "http://127.0.0.1:5000")
    assert live_users(tmp_path, [record], except_group=child.group) == []
    assert live_users(tmp_path, [family.record(child, models=str(tmp_path), start=1)]) == []


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        pytest.param({"OLLAMA_MODELS": "{}/models"}, "models", id="named"),
        pytest.param({"HOME": "{}"}, ".ollama/models", id="by its home"),
        pytest.param({"OLLAMA_MODELS": "relative"}, "relative", id="from where it is"),
    ],
)
async def test_the_folder_of_a_live_server(
    family: Family, server: Path, tmp_path: Path, environ: dict[str, str], folder: str
) -> None:
    pid = await _serve(family, server, **{name: value.format(tmp_path) for name, value in environ.items()})
    found = folder_of(pid)
    assert found is not None
    assert found.is_absolute()
    assert str(found).endswith(folder)


def test_what_is_no_server_has_no_folder() -> None:
    assert folder_of(os.getpid()) is None
    assert folder_of_user("nobody-has-this-name") is None


def test_models_are_counted_by_their_manifests(tmp_path: Path) -> None:
    assert count_models(tmp_path) == 0
    for name in ("registry.ollama.ai/library/llama3.2/1b", "registry.ollama.ai/library/llama3.2/3b", "hf.co/a/b/c"):
        path = tmp_path / "manifests" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    assert count_models(tmp_path) == 3


async def test_a_server_that_has_ended_is_no_user(family: Family, server: Path, tmp_path: Path) -> None:
    pid = await _serve(family, server, OLLAMA_MODELS=str(tmp_path))
    await family.end()
    assert not is_server(pid)
    assert live_users(tmp_path) == []


# --- unfinished downloads ---------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    blobs = tmp_path / "models" / "blobs"
    blobs.mkdir(parents=True)
    for name in (f"sha256-{_A}-partial", f"sha256-{_A}-partial-0", f"sha256-{_A}-partial-12", f"sha256-{_B}-partial"):
        (blobs / name).write_text("x")
    for name in (f"sha256-{_A}", f"sha256-{_B}", "sha256-abc-partial", "notes.txt", f"sha256-{_A}-partial-x"):
        (blobs / name).write_text("x")
    for path in blobs.iterdir():
        os.utime(path, (1000, 1000))
    return tmp_path / "models"


def test_all_partial_files_and_no_others_are_refreshed(folder: Path) -> None:
    before_s = time.time() - 5
    assert refresh_partials(folder) == RefreshOutcome(refreshed=4, unwritable=False)
    fresh = {path.name for path in (folder / "blobs").iterdir() if path.stat().st_mtime > before_s}
    assert fresh == {
        f"sha256-{_A}-partial",
        f"sha256-{_A}-partial-0",
        f"sha256-{_A}-partial-12",
        f"sha256-{_B}-partial",
    }


def test_a_folder_that_is_not_there_has_none(tmp_path: Path) -> None:
    assert refresh_partials(tmp_path / "nowhere") == RefreshOutcome(0, unwritable=False)
    assert not pulls_active(tmp_path / "nowhere", 10, time.time())


def test_a_download_that_writes_is_active(folder: Path) -> None:
    assert not pulls_active(folder, 10, 2000)
    assert pulls_active(folder, 10, 1009)
    os.utime(folder / "blobs" / f"sha256-{_B}-partial", (1995, 1995))
    assert pulls_active(folder, 10, 2000)


def test_a_sidecar_alone_is_no_active_download(folder: Path) -> None:
    os.utime(folder / "blobs" / f"sha256-{_A}-partial-0", (1999, 1999))
    assert not pulls_active(folder, 10, 2000)


# --- downloads that could never go on ---------------------------------------------------------------------------------


def _recorded(name: str) -> list[dict[str, object]]:
    files: list[dict[str, object]] = json.loads((RECORDINGS / f"{name}-files.json").read_text())["files"]
    return files


def _lay_out(blobs: Path, files: list[dict[str, object]]) -> set[str]:
    blobs.mkdir(parents=True)
    for file in files:
        path = blobs / str(file["name"])
        path.write_text(str(file.get("text", "")))
        if "text" not in file:
            os.truncate(path, int(str(file["size"])))  # sparse, as the server's own
    return {path.name for path in blobs.iterdir()}


@pytest.mark.parametrize("name", ["big-closed", "big-server-killed", "big-server-terminated", "big-disk-full"])
def test_what_can_go_on_is_left(tmp_path: Path, name: str) -> None:
    before = _lay_out(tmp_path / "blobs", _recorded(name))
    assert any("partial-" in name for name in before)
    assert mend_partials(tmp_path) == 0
    assert {path.name for path in (tmp_path / "blobs").iterdir()} == before


@pytest.mark.parametrize(
    ("sidecar", "content"),
    [
        pytest.param(3, "", id="empty"),
        pytest.param(3, "garbage", id="garbage"),
        pytest.param(0, "\0" * 60, id="zeros"),
        pytest.param(3, "[]", id="a list"),
        pytest.param(3, '{"N": 3}', id="members missing"),
        pytest.param(3, '{"N":3,"Offset":300000000,"Size":100000000,"Completed":"1"}', id="another kind"),
        pytest.param(3, '{"N":3,"Offset":300000000,"Size":100000000,"Completed":100000001}', id="too much"),
        pytest.param(3, '{"N":3,"Offset":300000000,"Size":90000000,"Completed":1}', id="a gap"),
        pytest.param(0, None, id="first missing"),
        pytest.param(3, None, id="one missing"),
        pytest.param(7, None, id="last missing"),
    ],
)
def test_a_damaged_digest_is_removed_as_a_whole(tmp_path: Path, sidecar: int, content: str | None) -> None:
    blobs = tmp_path / "blobs"
    before = _lay_out(blobs, _recorded("big-closed"))
    (path,) = (path for path in blobs.iterdir() if path.name.endswith(f"-partial-{sidecar}"))
    if content is None:
        path.unlink()
    else:
        path.write_text(content)
    assert mend_partials(tmp_path) == 1
    assert {path.name for path in blobs.iterdir()} == {name for name in before if "-partial" not in name}


def test_recorded_damage_is_removed(tmp_path: Path) -> None:
    _lay_out(tmp_path / "blobs", _recorded("big-missing-sidecar"))
    assert mend_partials(tmp_path) == 1
    assert list((tmp_path / "blobs").iterdir()) == []


def test_content_that_is_missing_or_short_is_damage_only_once_something_came(tmp_path: Path) -> None:
    blobs = tmp_path / "blobs"
    _lay_out(blobs, _recorded("big-server-killed"))
    (content,) = blobs.glob("*-partial")
    os.truncate(content, 0)
    assert mend_partials(tmp_path) == 0
    content.unlink()
    assert mend_partials(tmp_path) == 0
    (first,) = blobs.glob("*-partial-0")
    first.write_text('{"N":0,"Offset":0,"Size":100000000,"Completed":5}')
    assert mend_partials(tmp_path) == 1


def test_other_digests_are_left(folder: Path) -> None:
    (folder / "blobs" / f"sha256-{_A}-partial-0").write_text("")
    before = {path.name for path in (folder / "blobs").iterdir()}
    assert mend_partials(folder) == 1
    after = {path.name for path in (folder / "blobs").iterdir()}
    assert before - after == {f"sha256-{_A}-partial", f"sha256-{_A}-partial-0", f"sha256-{_A}-partial-12"}
    assert mend_partials(folder.parent / "nowhere") == 0


def test_unfinished_downloads_and_what_they_hold(tmp_path: Path) -> None:
    blobs = tmp_path / "blobs"
    blobs.mkdir()
    assert unfinished(tmp_path, time.time()) == ()
    content = blobs / f"sha256-{_A}-partial"
    content.write_bytes(b"x" * 8192)
    os.truncate(content, 3_000_000)  # sparse, as the server makes it
    for number, completed in ((0, 1_000_000), (1, 500_000)):
        part = {"N": number, "Offset": number * 1_500_000, "Size": 1_500_000, "Completed": completed}
        (blobs / f"sha256-{_A}-partial-{number}").write_text(json.dumps(part))
    (blobs / f"sha256-{_B}-partial-0").write_text("")
    (blobs / f"sha256-{'c' * 64}").write_text("finished")
    for path in blobs.iterdir():
        os.utime(path, (1000.0, 1000.0))
    whole, damaged = sorted(unfinished(tmp_path, 4600.0), key=lambda download: download.digest)
    assert (whole.digest, whole.completed_bytes, whole.total_bytes) == (_A, 1_500_000, 3_000_000)
    assert whole.on_disk_bytes < 100_000
    assert (whole.age_s, whole.damaged, damaged.damaged) == (3600.0, False, True)
