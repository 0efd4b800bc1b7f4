"""The life of the server: bind, log, clean up, discover, serve, and stop by signal (cmd/cmd.go, routes.go, 0.33)."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping
from typing import NoReturn

from launcher.demo import log
from launcher.demo.download import Downloads
from launcher.demo.faults import AnswerFaults
from launcher.demo.golang import FOREVER_NS, GoError, format_duration, parse_duration
from launcher.demo.http import HttpServer
from launcher.demo.registry import Registry
from launcher.demo.routes.table import Routes
from launcher.demo.routes.world import World
from launcher.demo.runners import Runners
from launcher.demo.script import InvalidScript, Script
from launcher.demo.script_file import load_script
from launcher.demo.store import ModelsFolder, UnusableFolder, go_errno
from launcher.domain.address import Address, InvalidAddress

_KEEP_ALIVE_NS = 5 * 60 * 1_000_000_000
_EVERY_INTERFACE = ("", "0.0.0.0", "::")  # noqa: S104 - what a person may ask for; nothing is bound here
_BACKLOG = 4096
_WINDOWS_SIGNAL_POLL_S = 0.2
_IN_USE = "address already in use"
if sys.platform == "win32":
    _IN_USE = "Only one usage of each socket address (protocol/network address/port) is normally permitted."
_NO_HOME_PANIC = """panic: $HOME is not defined

goroutine 1 [running]:
github.com/ollama/ollama/envconfig.Models()
\tgithub.com/ollama/ollama/envconfig/config.go:120 +0x97
main.main()
\tgithub.com/ollama/ollama/main.go:12 +0x13
"""
_ORIGINS = (
    *("http://localhost", "https://localhost", "http://localhost:*", "https://localhost:*"),
    *("http://127.0.0.1", "https://127.0.0.1", "http://127.0.0.1:*", "https://127.0.0.1:*"),
    *("http://0.0.0.0", "https://0.0.0.0", "http://0.0.0.0:*", "https://0.0.0.0:*"),
    *("app://*", "file://*", "tauri://*", "vscode-webview://*", "vscode-file://*"),
)
_SHOWN_VARIABLES: tuple[tuple[str, str], ...] = (
    *(("CUDA_VISIBLE_DEVICES", ""), ("GGML_VK_VISIBLE_DEVICES", ""), ("GPU_DEVICE_ORDINAL", "")),
    *(("HIP_VISIBLE_DEVICES", ""), ("HSA_OVERRIDE_GFX_VERSION", ""), ("HTTPS_PROXY", ""), ("HTTP_PROXY", "")),
    *(("LLAMA_ARG_FIT", ""), ("LLAMA_ARG_FIT_TARGET", ""), ("NO_PROXY", ""), ("OLLAMA_CONTEXT_LENGTH", "0")),
    *(("OLLAMA_DEBUG", "INFO"), ("OLLAMA_DEBUG_LOG_REQUESTS", "false"), ("OLLAMA_EDITOR", "")),
    *(("OLLAMA_FLASH_ATTENTION", "false"), ("OLLAMA_GO_TEMPLATE", "true"), ("OLLAMA_GPU_OVERHEAD", "0")),
    *(("OLLAMA_HOST", ""), ("OLLAMA_IGPU_ENABLE", ""), ("OLLAMA_KEEP_ALIVE", "5m0s"), ("OLLAMA_KV_CACHE_TYPE", "")),
    *(("OLLAMA_LLM_LIBRARY", ""), ("OLLAMA_LOAD_TIMEOUT", "5m0s"), ("OLLAMA_MAX_LOADED_MODELS", "0")),
    *(("OLLAMA_MAX_QUEUE", "512"), ("OLLAMA_MAX_TRANSFER_STREAMS", "4"), ("OLLAMA_MODELS", "")),
    *(("OLLAMA_NOHISTORY", "false"), ("OLLAMA_NOPRUNE", "false"), ("OLLAMA_NO_CLOUD", "false")),
    *(("OLLAMA_NUM_PARALLEL", "1"), ("OLLAMA_ORIGINS", ""), ("OLLAMA_REMOTES", "[ollama.com]")),
    *(("OLLAMA_SCHED_SPREAD", "false"), ("OLLAMA_VULKAN", "true"), ("ROCR_VISIBLE_DEVICES", "")),
    *(("http_proxy", ""), ("https_proxy", ""), ("no_proxy", "")),
)
_COUNTS = (
    *("OLLAMA_NUM_PARALLEL", "OLLAMA_MAX_LOADED_MODELS", "OLLAMA_MAX_QUEUE", "OLLAMA_MAX_TRANSFER_STREAMS"),
    *("OLLAMA_CONTEXT_LENGTH", "OLLAMA_GPU_OVERHEAD"),
)
_FLAGS = (
    *("OLLAMA_DEBUG_LOG_REQUESTS", "OLLAMA_FLASH_ATTENTION", "OLLAMA_GO_TEMPLATE", "OLLAMA_NOHISTORY"),
    *("OLLAMA_NOPRUNE", "OLLAMA_NO_CLOUD", "OLLAMA_SCHED_SPREAD", "OLLAMA_VULKAN"),
)


class _Refused(Exception):
    """The server cannot start: the text after ``Error:``."""


def serve(environ: Mapping[str, str]) -> int:
    """Run the server until it is stopped, and give its exit code; most ends do not return."""
    try:
        script = load_script(environ)
        home = environ.get("USERPROFILE" if sys.platform == "win32" else "HOME", "")
        models = _variable(environ, "OLLAMA_MODELS")
        if not home and not models:
            log.write_stderr(_NO_HOME_PANIC)
            return 2
        _announce_key(home)
        address, bad_port = read_address(environ)
        complaints = _complaints(environ, address, bad_port)
        stamp = time.strftime("%Y/%m/%d %H:%M:%S")
        for source, message, attributes in complaints:  # before the log has its format
            pairs = " ".join(f"{name}={value}" for name, value in attributes.items())
            log.write_stderr(f"{stamp} {source}: WARN {message} {pairs}\n")
        listener = _bind(address)
        for source, message, attributes in complaints:
            log.slog("WARN", source, message, **attributes)
        folder = ModelsFolder(models or os.path.join(home, ".ollama", "simulated"))
        _log_configuration(environ, address, folder)
        folder.create()
        if not _is_true(environ, "OLLAMA_NOPRUNE"):
            folder.prune(script.scale)
        host, port = listener.getsockname()[:2]
        shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        log.slog("INFO", "routes.go:2008", f"Listening on {shown} (version {script.version})")
        server = _Server(script, folder, listener, environ)
    except (InvalidScript, _Refused, UnusableFolder) as error:
        log.write_stderr(f"Error: {error}\n")
        return 1
    return asyncio.run(server.run())


class _Server:
    """Everything that one run holds."""

    def __init__(
        self, script: Script, folder: ModelsFolder, listener: socket.socket, environ: Mapping[str, str]
    ) -> None:
        self._script = script
        self._listener = listener
        self._served_at_s: float | None = None
        registry = Registry(script)
        self._downloads = Downloads(folder, registry, script, self._crash)
        faults = AnswerFaults(script)
        self._runners = Runners(
            script,
            folder,
            faults,
            keep_alive_ns=_keep_alive_ns(environ),
            context_length=_integer(environ, "OLLAMA_CONTEXT_LENGTH", 0),
            max_queue=_integer(environ, "OLLAMA_MAX_QUEUE", 512),
        )
        world = World(
            script,
            folder,
            registry,
            self._downloads,
            self._runners,
            faults,
            no_prune=_is_true(environ, "OLLAMA_NOPRUNE"),
            no_cloud=_is_true(environ, "OLLAMA_NO_CLOUD"),
            guards_host=listener.getsockname()[0] in ("127.0.0.1", "::1"),
        )
        routes = Routes(world)
        self._http = HttpServer(routes.answer, self._gate, routes.sink_of)

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        self._listen_to_signals(loop)
        log.slog("INFO", "runner.go:60", "discovering available GPUs...")
        if self._script.start.silent_s:
            await asyncio.sleep(self._script.start.silent_s)
        if self._script.start.exit_code is not None or self._script.start.stderr:
            log.write_stderr(self._script.start.stderr)
            return 1 if self._script.start.exit_code is None else self._script.start.exit_code
        self._log_discovery()
        server = await asyncio.start_server(self._http.serve, sock=self._listener, backlog=_BACKLOG)
        self._served_at_s = loop.time()
        if self._script.crash.after_s is not None:
            loop.call_later(self._script.crash.after_s, self._crash_once)
        await server.serve_forever()
        return 0

    async def _gate(self) -> None:
        """Hold an answer back while the script wants silence."""
        silent = self._script.answers.silent
        if silent is None or self._served_at_s is None:
            return
        since_s = asyncio.get_running_loop().time() - self._served_at_s - silent.after_s
        if 0 <= since_s < silent.for_s:
            await asyncio.sleep(silent.for_s - since_s)

    def _listen_to_signals(self, loop: asyncio.AbstractEventLoop) -> None:
        if sys.platform == "win32":
            for number in (signal.SIGINT, signal.SIGBREAK):
                signal.signal(number, lambda *_: loop.call_soon_threadsafe(self._stop_requested))
            loop.call_later(_WINDOWS_SIGNAL_POLL_S, self._wake_for_signals, loop)
            return
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop_requested)
        loop.add_signal_handler(signal.SIGCHLD, self._runners.reap)

    def _wake_for_signals(self, loop: asyncio.AbstractEventLoop) -> None:
        # Python runs its signal handlers between two steps of the loop, and an idle loop takes none on Windows.
        loop.call_later(_WINDOWS_SIGNAL_POLL_S, self._wake_for_signals, loop)

    def _stop_requested(self) -> None:
        if self._script.stop.ignore:
            return
        if self._script.stop.delay_s:
            asyncio.get_running_loop().call_later(self._script.stop.delay_s, self._stop)
        else:
            self._stop()

    def _stop(self) -> NoReturn:
        """End at once: connections cut, models killed, and whatever resume files win the race."""
        from random import Random

        self._listener.close()
        self._downloads.lose_race(Random(self._script.seed))  # noqa: S311 - picks an outcome, keeps no secret
        self._http.cut_all()
        self._runners.kill_all()
        os._exit(0)

    def _crash_once(self) -> None:
        mark = self._script.crash.once
        if mark is not None:
            if os.path.exists(mark):
                return
            with open(mark, "w", encoding="utf-8"):
                pass
        self._crash()

    def _crash(self) -> NoReturn:
        """End as a crash does: nothing is written, nothing is cleaned up, models stay in memory."""
        crash = self._script.crash
        log.write_stderr(crash.stderr)
        if crash.exit_code is not None or sys.platform == "win32":
            os._exit(2 if crash.exit_code is None else crash.exit_code)
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        number = signal.Signals[crash.signal]
        if number is not signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        time.sleep(60)
        os._exit(2)

    def _log_discovery(self) -> None:
        gpu = self._script.gpu
        if gpu is None:
            values = ("cpu", "cpu", "", "cpu", "cpu", "", "")
            total = free = "16.0 GiB"
            vram = "0 B"
        else:
            values = ("GPU-simulated-0", gpu.library, "8.9", f"{gpu.library}0", gpu.name, "12.8", "discrete")
            total = free = vram = f"{gpu.total_bytes / 2**30:.1f} GiB"
        names = ("id", "library", "compute", "name", "description", "driver", "type")
        fields = dict(zip(names, values, strict=True))
        log.slog("INFO", "types.go:50", "inference compute", **fields, total=total, available=free)
        log.slog("INFO", "routes.go:2058", "vram-based default context", total_vram=vram, default_num_ctx=4096)


def _variable(environ: Mapping[str, str], name: str) -> str:
    """Read a variable as ``envconfig.Var`` does: trimmed of spaces and quotes."""
    return environ.get(name, "").strip().strip("\"'")


def _is_true(environ: Mapping[str, str], name: str) -> bool:
    """Read a boolean as Go does: what is not a word for false is true."""
    return _variable(environ, name) not in ("", "0", "f", "F", "FALSE", "false", "False")


def _is_bad_count(environ: Mapping[str, str], name: str) -> bool:
    text = _variable(environ, name)
    return name in _COUNTS and bool(text) and not text.isdecimal()


def _integer(environ: Mapping[str, str], name: str, default: int) -> int:
    text = _variable(environ, name)
    return int(text) if text.isdecimal() else default


def _keep_alive_ns(environ: Mapping[str, str]) -> int:
    text = _variable(environ, "OLLAMA_KEEP_ALIVE")
    if not text:
        return _KEEP_ALIVE_NS
    try:
        ns = int(text) * 1_000_000_000
    except ValueError:
        try:
            ns = parse_duration(text)
        except GoError:
            return _KEEP_ALIVE_NS
    return FOREVER_NS if ns < 0 else ns


def _announce_key(home: str) -> None:
    """Say what a first start says about the key, without making one."""
    if not home:
        raise _Refused("$HOME is not defined")
    folder = os.path.join(home, ".ollama")
    path = os.path.join(folder, "id_ed25519")
    if os.path.exists(path):
        return
    log.write_stdout(f"Couldn't find '{path}'. Generating new private key.\n")
    try:
        os.makedirs(folder, mode=0o755, exist_ok=True)
    except OSError as error:
        raise _Refused(f"could not create directory mkdir {folder}: {go_errno(error)}") from error
    log.write_stdout("Your new public key is: \n\nssh-ed25519 SIMULATED\n\n")


def read_address(environ: Mapping[str, str]) -> tuple[Address, str]:
    """Read OLLAMA_HOST; the second value is the port that was asked for and is none, else empty."""
    text = _variable(environ, "OLLAMA_HOST")
    try:
        address = Address.parse(text)
    except InvalidAddress as error:
        raise _Refused(f"listen tcp: lookup {text}: no such host") from error
    return address, text.rpartition("://")[2].partition("/")[0].rpartition(":")[2] if address.warning else ""


def _complaints(
    environ: Mapping[str, str], address: Address, bad_port: str
) -> list[tuple[str, str, dict[str, object]]]:
    """List what is wrong with the variables: source, message, attributes."""
    found: list[tuple[str, str, dict[str, object]]] = []
    if bad_port:
        found.append(("config.go:51", "invalid port, using default", {"port": bad_port, "default": address.port}))
    for name in _COUNTS:
        if _is_bad_count(environ, name):
            default = dict(_SHOWN_VARIABLES)[name]
            attributes: dict[str, object] = {"key": name, "value": _variable(environ, name), "default": default}
            found.append(("config.go:263", "invalid environment variable, using default", attributes))
    return found


def _bind(address: Address) -> socket.socket:
    """Listen as ``net.Listen("tcp", …)`` does; every interface means both families on one socket."""
    text = address.bind
    host = address.host
    everywhere = host in _EVERY_INTERFACE and socket.has_dualstack_ipv6()
    try:
        if everywhere:
            return socket.create_server(
                ("::", address.port), family=socket.AF_INET6, backlog=_BACKLOG, dualstack_ipv6=True
            )
        # As bytes: a text would bring in the codec for international names, 5 ms of every start.
        found = socket.getaddrinfo(
            host.encode() or None, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, _, _, _, target = min(found, key=lambda one: one[0])
        return socket.create_server(target[:2], family=family, backlog=_BACKLOG)
    except (socket.gaierror, UnicodeError) as error:
        raise _Refused(f"listen tcp: lookup {host}: no such host") from error
    except OSError as error:
        words = {errno.EADDRNOTAVAIL: "cannot assign requested address", errno.EADDRINUSE: _IN_USE}
        reason = words.get(error.errno or 0) or go_errno(error)
        raise _Refused(f"listen tcp {text}: bind: {reason}") from error


def _log_configuration(environ: Mapping[str, str], address: Address, folder: ModelsFolder) -> None:
    given = [one.strip() for one in _variable(environ, "OLLAMA_ORIGINS").split(",") if one.strip()]
    effective = {
        "OLLAMA_HOST": f"{address.scheme}://{address.bind}",
        "OLLAMA_MODELS": folder.root,
        "OLLAMA_ORIGINS": f"[{' '.join([*given, *_ORIGINS])}]",
        "OLLAMA_KEEP_ALIVE": format_duration(_keep_alive_ns(environ)),
    }
    effective |= {name: str(_is_true(environ, name)).lower() for name in _FLAGS if _variable(environ, name)}
    effective |= {name: default for name, default in _SHOWN_VARIABLES if _is_bad_count(environ, name)}
    shown = (
        f"{name}:{effective.get(name) or _variable(environ, name) or default}" for name, default in _SHOWN_VARIABLES
    )
    log.slog("INFO", "routes.go:1951", "server config", env=f"map[{' '.join(shown)}]")
    disabled = str(_is_true(environ, "OLLAMA_NO_CLOUD")).lower()
    log.slog("INFO", "routes.go:1953", f"Ollama cloud disabled: {disabled}")
