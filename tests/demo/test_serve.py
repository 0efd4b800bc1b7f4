"""The life of the simulated server beside that of a real one: outputs, exit codes, signals, orphans."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from launcher.demo.command import main
from launcher.demo.server import read_address
from tests.demo.recorded import BIG, MODELS, QUICK_BYTES_PER_S, TINY, pull, recording, talk_to
from tests.support.demo_server import SCALE, DemoServer, make_ollama_shim
from tests.support.nobody import AsNobody
from tests.support.waiting import eventually, wait_until

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals and users")
QUICK: dict[str, Any] = {"models": MODELS, "rate_bytes_per_s": QUICK_BYTES_PER_S}


def run_ollama(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the shim to its end."""
    shim = make_ollama_shim(folder / "bin")
    variables = {"HOME": str(folder), "OLLAMA_MODELS": str(folder / "models"), "OLLAMA_HOST": "127.0.0.1:0"}
    variables = {name: value for name, value in {**variables, **environment}.items() if value != "(unset)"}
    return subprocess.run(
        [str(shim), *arguments], env=variables, capture_output=True, text=True, timeout=20, check=False
    )


def last_line(text: str) -> str:
    return text.rstrip("\n").rpartition("\n")[2]


@pytest.mark.parametrize(
    ("name", "arguments", "environment"),
    [
        pytest.param("bad-flag", ["serve", "--nothing"], {}, id="bad flag"),
        pytest.param("unknown-command", ["dance"], {}, id="unknown command"),
        pytest.param("address-not-mine", ["serve"], {"OLLAMA_HOST": "192.0.2.7:11500"}, id="address not mine"),
        pytest.param("host-garbage", ["serve"], {"OLLAMA_HOST": "not a host"}, id="host garbage"),
        pytest.param("version-no-server", ["--version"], {"OLLAMA_HOST": "127.0.0.1:9"}, id="version"),
    ],
)
def test_ends_with_the_recorded_words(
    tmp_path: Path, name: str, arguments: list[str], environment: dict[str, str]
) -> None:
    theirs = recording(f"serve/{name}")
    (tmp_path / ".ollama").mkdir()
    (tmp_path / ".ollama" / "id_ed25519").touch()
    ours = run_ollama(tmp_path, *arguments, **environment)
    assert ours.returncode == theirs["exit_code"]
    assert ours.stderr == theirs["stderr"]
    assert ours.stdout == theirs["stdout"].replace("0.33.0-rc2", "0.33.0")


def test_port_in_use(tmp_path: Path) -> None:
    theirs = recording("serve/port-in-use")
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        ours = run_ollama(tmp_path, "serve", OLLAMA_HOST=f"127.0.0.1:{port}")
    assert ours.returncode == theirs["exit_code"]
    assert ours.stderr == theirs["stderr"].replace("11500", str(port))


def test_no_home_panics(tmp_path: Path) -> None:
    theirs = recording("serve/no-home")
    ours = run_ollama(tmp_path, "serve", HOME="(unset)", OLLAMA_MODELS="(unset)")
    assert ours.returncode == theirs["exit_code"]
    assert ours.stderr.splitlines()[0] == theirs["stderr"].splitlines()[0]
    assert "goroutine 1 [running]:" in ours.stderr


def test_models_folder_is_a_file(tmp_path: Path) -> None:
    theirs = recording("serve/models-is-a-file")
    model_file = tmp_path / "mid.gguf"
    model_file.touch()
    ours = run_ollama(tmp_path, "serve", OLLAMA_MODELS=str(model_file))
    assert ours.returncode == theirs["exit_code"]
    assert last_line(ours.stderr) == last_line(theirs["stderr"]).replace("/home/user/mid.gguf", str(model_file))


def _serve_as_told(folder: Path, environment: dict[str, str]) -> tuple[int, str, str]:
    """Run the command in this very process: what is not ours to execute needs no executable."""
    os.environ.clear()
    os.environ.update({"HOME": str(folder), "OLLAMA_HOST": "127.0.0.1:0", **environment})
    for descriptor, name in ((1, "out"), (2, "err")):
        file = os.open(folder / name, os.O_CREAT | os.O_RDWR)
        os.dup2(file, descriptor)
    code = main(["serve"])
    return code, (folder / "out").read_text(), (folder / "err").read_text()


def _is_for_root_only(port: int) -> bool:
    setting = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
    return sys.platform == "linux" and (not setting.exists() or int(setting.read_text()) > port)


@posix_only
@pytest.mark.parametrize(
    "name",
    [
        *("models-not-writable", "models-no-parent", "home-not-writable"),
        *(["port-privileged"] if _is_for_root_only(80) else []),
    ],
)
def test_what_an_ordinary_user_may_not(as_nobody: AsNobody, nobody_folder: Path, name: str) -> None:
    theirs = recording(f"serve/{name}")
    closed = nobody_folder / "ro"
    closed.mkdir(mode=0o555)
    where = {
        "/home/user/ro": str(closed),
        "/home/user/nb": str(nobody_folder),
        "/nonexistent": "/nonexistent-launcher-test",
    }
    environment = {
        "models-not-writable": {"OLLAMA_MODELS": str(closed / "models")},
        "models-no-parent": {"OLLAMA_MODELS": "/nonexistent-launcher-test/drive/models"},
        "home-not-writable": {"HOME": str(closed)},
        "port-privileged": {"OLLAMA_HOST": "127.0.0.1:80", "OLLAMA_MODELS": str(nobody_folder / "m")},
    }[name]
    code, out, err = as_nobody(_serve_as_told, nobody_folder, environment)
    expected = last_line(theirs["stderr"])
    said = theirs["stdout"].splitlines()[:1]
    for recorded, own in where.items():
        expected = expected.replace(recorded, own)
        said = [line.replace(recorded, own) for line in said]
    assert code == theirs["exit_code"]
    assert last_line(err) == expected
    if name == "home-not-writable":
        assert out.splitlines()[:1] == said


def test_port_out_of_range_falls_back_to_the_default() -> None:
    address, asked = read_address({"OLLAMA_HOST": "127.0.0.1:99999"})
    assert (address.bind, asked) == ("127.0.0.1:11434", "99999")


def log_shape(text: str) -> list[str]:
    """What a log says in which order, without what differs from machine to machine; only lines of the start."""
    wanted = (
        "server config",
        "Ollama cloud",
        "total",
        "corrupt",
        "Listening",
        "discovering",
        "inference",
        "vram-based",
    )
    shape = []
    for line in text.splitlines():
        found = re.match(r"time=(\S+) level=(\w+) source=(\S+):\d+ msg=(\"[^\"]*\"|\S+)", line)
        if found is not None and found[4].strip('"').startswith(wanted):
            message = re.sub(r"127\.0\.0\.1:\d+ \(version .*\)", "ADDRESS", found[4])
            shape.append(f"{found[2]} {found[3]} {message}")
    return shape


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("name", "number", "code"),
    [
        pytest.param("normal-sigterm", signal.SIGTERM, 0, id="SIGTERM"),
        pytest.param("normal-sigint", signal.SIGINT, 0, id="SIGINT"),
        pytest.param("normal-sighup", signal.SIGHUP, -signal.SIGHUP, id="SIGHUP"),
        pytest.param("normal-sigkill", signal.SIGKILL, -signal.SIGKILL, id="SIGKILL"),
    ],
)
async def test_signals_end_it_as_recorded(tmp_path: Path, name: str, number: signal.Signals, code: int) -> None:
    theirs = recording(f"serve/{name}")
    async with DemoServer(tmp_path) as demo:
        os.kill(demo.pid, number)
        assert await demo.wait() == code == theirs["exit_code"]
        assert log_shape(demo.log_text()) == log_shape(theirs["stderr"])


@pytest.mark.anyio
async def test_corrupt_manifest_is_told_and_left_out(tmp_path: Path) -> None:
    theirs = recording("serve/corrupt-manifest")
    async with DemoServer(tmp_path, QUICK) as demo:
        await pull(demo.base_url, TINY)
        await demo.stop()
    broken = tmp_path / "models" / "manifests" / "registry.ollama.ai" / "library" / "pirate" / "latest"
    broken.parent.mkdir(parents=True)
    broken.write_text('{"schemaVersion": 2, "laye')
    async with DemoServer(tmp_path, QUICK) as demo, talk_to(demo.base_url) as client:
        tags = (await client.get("/api/tags")).json()["models"]
        assert log_shape(demo.log_text()) == log_shape(theirs["stderr"])
    assert [one["name"] for one in tags] == [f"{TINY}:latest"]


@pytest.mark.anyio
async def test_variables_of_nonsense_are_told(tmp_path: Path) -> None:
    theirs = recording("serve/bad-variables")
    names = ("OLLAMA_KEEP_ALIVE", "OLLAMA_NUM_PARALLEL", "OLLAMA_FLASH_ATTENTION", "OLLAMA_CONTEXT_LENGTH")
    environment = {name: theirs["environment"][name] for name in names}
    async with DemoServer(tmp_path, environment=environment) as demo:
        ours = demo.log_text()
    complaint = re.compile(r"msg=\"invalid environment.*|config\.go.*WARN.*")
    assert complaint.findall(ours) == complaint.findall(theirs["stderr"])[: len(complaint.findall(ours))]
    for shown in ("OLLAMA_KEEP_ALIVE:5m0s", "OLLAMA_NUM_PARALLEL:1", "OLLAMA_FLASH_ATTENTION:true"):
        assert shown in ours
        assert shown in theirs["stderr"]


@pytest.mark.anyio
async def test_every_interface_and_proxies_in_the_log(tmp_path: Path) -> None:
    star, proxy = recording("serve/origins-star"), recording("serve/proxy-set")
    environment = {
        "OLLAMA_HOST": "0.0.0.0:0",
        "OLLAMA_ORIGINS": star["environment"]["OLLAMA_ORIGINS"],
        "HTTPS_PROXY": proxy["environment"]["HTTPS_PROXY"],
    }
    async with DemoServer(tmp_path, environment=environment) as demo:
        ours = demo.log_text()
    assert "Listening on [::]:" in ours
    assert "Listening on [::]:" in star["stderr"]
    for shown, recorded in ((" OLLAMA_ORIGINS:[* http://localhost ", star), (" HTTPS_PROXY:http://127.0.0.1:", proxy)):
        assert shown in ours
        assert shown in recorded["stderr"]


@pytest.mark.anyio
async def test_version_beside_a_running_server(tmp_path: Path) -> None:
    async with DemoServer(tmp_path, {"version": "0.32.1"}) as demo:
        ours = await asyncio.to_thread(run_ollama, tmp_path, "--version", OLLAMA_HOST=f"127.0.0.1:{demo.port}")
    assert ours.stdout == "ollama version is 0.32.1\nWarning: client version is 0.33.0\n"


@posix_only
def test_the_shim_runs_the_real_interpreter(tmp_path: Path) -> None:
    """A process is recognised by its executable: it must be the same from the first moment."""
    shim = make_ollama_shim(tmp_path / "bin")
    environment = {"HOME": str(tmp_path), "OLLAMA_HOST": "127.0.0.1:0", "OLLAMA_MODELS": str(tmp_path / "models")}
    log = tmp_path / "log"
    with log.open("wb") as file:
        process = subprocess.Popen([str(shim), "serve"], env=environment, stderr=file, stdout=file)
    try:
        # Only then does a signal stop it; a little earlier it would die of it, as the real one does.
        wait_until(lambda: "discovering" in log.read_text())
        if sys.platform == "linux":
            assert os.readlink(f"/proc/{process.pid}/exe") == os.path.realpath(sys.executable)
    finally:
        process.terminate()
        assert process.wait(10) == 0


@pytest.mark.anyio
@posix_only
async def test_models_outlive_a_killed_server_and_go_with_a_stopped_one(tmp_path: Path) -> None:
    async with DemoServer(tmp_path, QUICK) as demo, talk_to(demo.base_url) as client:
        await pull(demo.base_url, TINY)
        for end, survives in ((signal.SIGTERM, False), (signal.SIGKILL, True)):
            await client.post("/api/generate", json={"model": TINY})
            (runner,) = psutil.Process(demo.pid).children()
            assert os.getpgid(runner.pid) == demo.pid
            os.kill(demo.pid, end)
            await demo.wait()
            if survives:
                assert runner.is_running()
                assert runner.status() != psutil.STATUS_ZOMBIE
                os.killpg(demo.pid, signal.SIGTERM)
            await eventually(lambda runner=runner: _is_gone(runner), message="the end of the model's process")  # type: ignore[misc]
            if not survives:
                await demo.start()
                client.base_url = httpx.URL(demo.base_url)


def _is_gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


@pytest.mark.anyio
async def test_silent_start_accepts_but_does_not_answer(tmp_path: Path) -> None:
    async with (
        DemoServer(tmp_path, {"start": {"silent_s": 1.5}}, wait_for_http=False) as demo,
        talk_to(demo.base_url) as client,
    ):
        with pytest.raises(httpx.ReadTimeout):
            await client.get("/api/version", timeout=0.2)
        assert "inference compute" not in demo.log_text()
        assert (await client.get("/api/version")).status_code == 200


@pytest.mark.anyio
async def test_start_that_fails(tmp_path: Path) -> None:
    script = {"start": {"exit_code": 3, "stderr": "Error: no luck today\n"}}
    async with DemoServer(tmp_path, script, wait_for_http=False) as demo:
        assert await demo.wait() == 3
        assert demo.log_text().endswith("Error: no luck today\n")


@pytest.mark.anyio
async def test_crash_by_itself_once(tmp_path: Path) -> None:
    mark = tmp_path / "crashed"
    script = {"crash": {"after_s": 0.05, "signal": "SIGSEGV", "stderr": "SIGSEGV: segmentation violation\n"}}
    script["crash"]["once"] = str(mark)
    async with DemoServer(tmp_path, script) as demo:
        assert await demo.wait() == -signal.SIGSEGV
        assert "segmentation violation" in demo.log_text()
        await demo.start()
        assert await demo.stop() == 0


@pytest.mark.anyio
@posix_only
async def test_stubborn_stop(tmp_path: Path) -> None:
    async with DemoServer(tmp_path, {"stop": {"ignore": True}}) as demo, talk_to(demo.base_url) as client:
        os.kill(demo.pid, signal.SIGTERM)
        assert (await client.get("/api/version")).status_code == 200
        assert demo.returncode is None


@posix_only
def test_a_pipe_nobody_reads_kills_it(tmp_path: Path) -> None:
    shim = make_ollama_shim(tmp_path / "bin")
    environment = {"HOME": str(tmp_path), "OLLAMA_HOST": "127.0.0.1:0", "OLLAMA_MODELS": str(tmp_path / "models")}
    readable, writable = os.pipe()
    os.close(readable)
    process = subprocess.Popen([str(shim), "serve"], env=environment, stdout=writable, stderr=writable)
    os.close(writable)
    assert process.wait(10) == -signal.SIGPIPE


def test_folder_of_a_real_ollama_is_refused(tmp_path: Path) -> None:
    manifest = tmp_path / "models" / "manifests" / "registry.ollama.ai" / "library" / "x" / "latest"
    manifest.parent.mkdir(parents=True)
    manifest.touch()
    ours = run_ollama(tmp_path, "serve")
    assert ours.returncode == 1
    assert "holds the models of a real Ollama" in last_line(ours.stderr)


def test_unusable_script_is_named(tmp_path: Path) -> None:
    (tmp_path / "script.json").write_text('{"scale": 2}')
    ours = run_ollama(tmp_path, "serve", LAUNCHER_DEMO_SCRIPT=str(tmp_path / "script.json"))
    assert ours.returncode == 1
    assert last_line(ours.stderr) == (
        f"Error: The script {tmp_path}/script.json cannot be used: scale must be above 0 and not above 1."
    )


@pytest.mark.anyio
async def test_pull_of_a_stopped_server_is_cut_in_the_middle_of_a_chunk(tmp_path: Path) -> None:
    script = {**QUICK, "rate_bytes_per_s": 100_000_000 * SCALE}
    async with DemoServer(tmp_path, script) as demo:

        async def stop(seen: object) -> None:
            if demo.returncode is None:
                await demo.stop()

        assert (await pull(demo.base_url, BIG, on_line=stop)).end == "RemoteProtocolError"
