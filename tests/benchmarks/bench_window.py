"""What the window costs beside a bare one: first paint, memory, the lateness of its loop, rest, the table of models.

Run it on a quiet machine::

    python -m tests.benchmarks.bench_window [--only paint,memory,lag,idle,table] [--runs 9] [--seconds 8]

The bare window is an empty QMainWindow on a stock qasync loop, on the same Python, offscreen like ours; runs of the two
take turns. Ours is what a double click starts (``launcher.__main__``), with nothing left out. The server is the
simulated one, as a child. Each figure is printed with its baseline and its bound, and the exit code is 1 when a bound
is missed:

- *paint*: from the spawn of the process to the end of the turn in which the window is painted, with all that is on it
  (frame, footer, Server page), medians; and the CPU time until then. The bare window has its loop by then, ours only
  Qt's: asyncio, qasync and the services are imported after it.
- *memory*: resident, 10 s after the server answers: all is imported and connected. Pages are built when they are first
  looked at, so of them there is the first.
- *lag*: how late a 5 ms timer of the loop fires while three downloads bring 200 lines a second each, 1,000 models are
  installed and the log grows by 200 lines a second, on one page after the other. The baseline is an idle loop in a
  process of its own at the same time: where that one is late, too, the machine is busy, and what our thread was at work
  in one turn is judged instead.
- *idle*: CPU time while the window is hidden and the server idles.
- *table*: from a keystroke in the filter over 1,000 models to the repaint of the table, with none and with all of them
  selected; sorting and paging, too.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil

from launcher.domain.models import InstalledModel, Models
from tests.support.demo_server import make_ollama_shim

ROOT = Path(__file__).resolve().parents[2]

PAINT_RATIO = 1.6
MEMORY_RATIO = 1.8
LAG_P99_MS = 8.0
LAG_MAX_MS = 16.7
IDLE_PART = 0.005
FRAME_MS = 16.0

MODELS = 1_000
PULLS = ("bench-a:1b", "bench-b:1b", "bench-c:1b")
TINY = "bench-tiny:1b"
LINES_PER_S = 200
PAGES = ("server", "models", "downloads", "log")
_PROBE_S = 0.005
_SETTLE_S = 10.0
_IDLE_S = 20.0
_LIMIT_S = 60.0

# Both report the monotonic clock, which all processes share, and their own CPU time, and end at once.
_REPORT = """
import os, time
def report():
    os.write(1, b"%d %.6f" % (time.monotonic_ns(), time.process_time()))
    os._exit(0)
def painted(*_):
    from PySide6.QtCore import QTimer
    QTimer.singleShot(0, report)  # what is on the window is painted after it, in the same turn
"""
_BARE = """
import asyncio, os, sys
from PySide6.QtWidgets import QApplication, QMainWindow
import qasync
class Window(QMainWindow):
    pass
{hook}
app = QApplication(sys.argv[:1])
loop = qasync.QEventLoop(app)
asyncio.set_event_loop(loop)
window = Window()
window.resize(1040, 700)
window.show()
with loop:
    loop.run_forever()
"""
_OURS = """
import sys
from launcher import __main__ as entry
load_window = entry._load_window
def load_and_hook():
    run_window = load_window()
    from launcher.ui.main_window import MainWindow
    {hook}
    return run_window
entry._load_window = load_and_hook
sys.argv = ["ollama-launcher", {arguments}]
sys.exit(entry.main())
"""
BARE_PAINT = _REPORT + _BARE.format(hook="Window.paintEvent = painted")
BARE_RUN = _BARE.format(hook="")
OURS_PAINT = _REPORT + _OURS.format(hook="MainWindow.paintEvent = painted", arguments="")
OURS_RUN = _OURS.format(hook="", arguments="")
# Offscreen there is no tray, without which a hidden window comes back by itself.
OURS_HIDDEN = _OURS.format(
    hook="from launcher.app import presence; presence._NO_TRAY_FOR_S = 1e6", arguments='"--hidden"'
)


@dataclass(frozen=True, slots=True)
class Row:
    """One figure beside its bound. ``judged`` False: it is told and not held against anybody."""

    name: str
    figure: float
    bound: float
    unit: str
    more: str = ""
    judged: bool = True

    @property
    def held(self) -> bool:
        return not self.judged or self.figure <= self.bound

    def __str__(self) -> str:
        verdict = "" if not self.judged else "   held" if self.held else "   MISSED"
        bound = f"(bound {self.bound:g})" if self.judged else ""
        return f"{self.name:<42} {self.figure:8.2f} {self.unit:<3} {bound:<14}{verdict:<9} {self.more}"


class Person:
    """Folders, a port and an ``ollama`` of their own, for the length of one part."""

    def __init__(self, folder: Path, script: dict[str, object] | None = None) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.folder = folder
        self.models = folder / "models"
        self.state = folder / "state"
        written = folder / "script.json"
        written.write_text(json.dumps({"scale": 0.01, **(script or {})}), encoding="utf-8")
        dropped = ("OLLAMA_", "LAUNCHER_", "QT_", "XDG_", "DISPLAY", "WAYLAND", "PYTHONDONTWRITEBYTECODE")
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(dropped)},
            "HOME": str(folder),
            "QT_QPA_PLATFORM": "offscreen",
            "QT_API": "pyside6",
            "LAUNCHER_CONFIG_DIR": str(folder / "config"),
            "LAUNCHER_STATE_DIR": str(self.state),
            "LAUNCHER_DEMO_SCRIPT": str(written),
            "OLLAMA_LAUNCHER_OLLAMA": str(make_ollama_shim(folder / "bin")),
            "OLLAMA_HOST": f"127.0.0.1:{port}",
            "OLLAMA_MODELS": str(self.models),
        }

    def python(self, *arguments: str, **more: object) -> subprocess.Popen[bytes]:
        command = [sys.executable, *arguments]
        return subprocess.Popen(command, cwd=ROOT, env=self.environment, **more)  # type: ignore[call-overload, no-any-return] # its keywords are passed through

    def has_server(self) -> bool:
        host, _, port = self.environment["OLLAMA_HOST"].partition(":")
        with socket.socket() as probe:
            probe.settimeout(1.0)
            return probe.connect_ex((host, int(port))) == 0


@contextmanager
def person(script: dict[str, object] | None = None) -> Iterator[Person]:
    with tempfile.TemporaryDirectory(prefix="bench-window-") as name:
        yield Person(Path(name), script)


def until(condition: Callable[[], object], what: str) -> None:
    deadline_s = time.monotonic() + _LIMIT_S
    while not condition():
        if time.monotonic() > deadline_s:
            raise SystemExit(f"{what} did not come true in {_LIMIT_S:g} s")
        time.sleep(0.02)


def end(process: subprocess.Popen[bytes]) -> None:
    """Let it quit by itself, its server with it."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


# --- the first paint --------------------------------------------------------------------------------------------------


def paint_once(who: Person, source: str) -> tuple[float, float]:
    """Milliseconds from the spawn to the first paint, and of CPU time until then."""
    began_ns = time.monotonic_ns()
    process = who.python("-c", source, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    out, _ = process.communicate(timeout=_LIMIT_S)
    try:
        painted_ns, cpu_s = out.split()
    except ValueError:
        raise SystemExit(f"nothing was painted (exit code {process.returncode})") from None
    return (int(painted_ns) - began_ns) / 1e6, float(cpu_s) * 1e3


def bench_paint(runs: int) -> list[Row]:
    figures: dict[str, list[tuple[float, float]]] = {BARE_PAINT: [], OURS_PAINT: []}
    with person() as who:
        for source in figures:  # compiles, and warms the disk cache
            paint_once(who, source)
        for _ in range(runs):
            for source, measured in figures.items():
                measured.append(paint_once(who, source))
    (bare_ms, bare_cpu_ms), (ours_ms, ours_cpu_ms) = (
        tuple(statistics.median(column) for column in zip(*measured, strict=True)) for measured in figures.values()
    )
    least = [min(wall_ms for wall_ms, _ in measured) for measured in figures.values()]
    return [
        Row(
            "first paint, ours to a bare window",
            ours_ms / bare_ms,
            PAINT_RATIO,
            "x",
            f"{ours_ms:.0f} ms to {bare_ms:.0f} ms; least {least[1]:.0f} to {least[0]:.0f}",
        ),
        Row(
            "  CPU time until then",
            ours_cpu_ms / bare_cpu_ms,
            PAINT_RATIO,
            "x",
            f"{ours_cpu_ms:.0f} ms to {bare_cpu_ms:.0f} ms",
        ),
    ]


# --- memory and rest --------------------------------------------------------------------------------------------------


def resident_bytes(who: Person, source: str, *, serves: bool) -> int:
    process = who.python("-c", source)
    try:
        if serves:
            until(who.has_server, "the server answers")
        time.sleep(_SETTLE_S)
        return int(psutil.Process(process.pid).memory_info().rss)
    finally:
        end(process)


def bench_memory(runs: int) -> list[Row]:
    bare: list[int] = []
    ours: list[int] = []
    for _ in range(runs):
        with person() as who:
            bare.append(resident_bytes(who, BARE_RUN, serves=False))
            ours.append(resident_bytes(who, OURS_RUN, serves=True))
    bare_mb, ours_mb = statistics.median(bare) / 1e6, statistics.median(ours) / 1e6
    more = f"{ours_mb:.0f} MB to {bare_mb:.0f} MB"
    return [Row("resident memory, ours to a bare window", ours_mb / bare_mb, MEMORY_RATIO, "x", more)]


def bench_idle() -> list[Row]:
    with person() as who:
        bare_part = _part_of_a_core(who, BARE_RUN, serves=False)
        ours_part = _part_of_a_core(who, OURS_HIDDEN, serves=True)
    more = f"over {_IDLE_S:g} s; a bare window: {bare_part * 100:.2f} %"
    return [Row("hidden and idle, of a core", ours_part * 100, IDLE_PART * 100, "%", more)]


def _part_of_a_core(who: Person, source: str, *, serves: bool) -> float:
    process = who.python("-c", source)
    try:
        if serves:
            until(who.has_server, "the server answers")
        time.sleep(_SETTLE_S)
        watched = psutil.Process(process.pid)
        before = watched.cpu_times()
        time.sleep(_IDLE_S)
        after = watched.cpu_times()
        return (after.user + after.system - before.user - before.system) / _IDLE_S
    finally:
        end(process)


# --- the loop ---------------------------------------------------------------------------------------------------------


@dataclass
class Lateness:
    """What a 5 ms timer has seen: how late it fired, and how long its thread was at work between two of its turns."""

    late_ms: list[float]
    work_ms: list[float]

    def p99_ms(self) -> float:
        return sorted(self.late_ms)[int(len(self.late_ms) * 0.99)]


async def watch(seconds: float) -> Lateness:
    loop = asyncio.get_running_loop()
    seen = Lateness([], [])
    done = asyncio.Event()
    ends_s = time.perf_counter() + seconds
    due_s = cpu_s = 0.0

    def fired() -> None:
        nonlocal due_s, cpu_s
        now_s = time.perf_counter()
        if due_s:
            seen.late_ms.append(max(now_s - due_s, 0.0) * 1e3)
            seen.work_ms.append((time.thread_time() - cpu_s) * 1e3)
        if now_s >= ends_s:
            done.set()
            return
        due_s, cpu_s = time.perf_counter() + _PROBE_S, time.thread_time()
        loop.call_later(_PROBE_S, fired)

    fired()
    await done.wait()
    return seen


def bench_lag(seconds: float) -> list[Row]:
    script: dict[str, object] = {
        "scale": 1.0,
        "line_interval_ms": 1000 / LINES_PER_S,
        "rate_bytes_per_s": 400_000,
        "models": {TINY: {"size_bytes": 20_000}, **{name: {"size_bytes": 90_000_000} for name in PULLS}},
    }
    with person(script) as who:
        process = who.python("-m", "tests.benchmarks.bench_window", "--lag-child", str(seconds), stdout=subprocess.PIPE)
        out, _ = process.communicate(timeout=_LIMIT_S * 4)
    if process.returncode != 0:
        raise SystemExit(f"the window ended with {process.returncode}")
    rows: list[Row] = []
    for page, found in json.loads(out.splitlines()[-1]).items():
        busy = found["idle_max_ms"] > LAG_MAX_MS / 2
        idle = f"an idle loop: {found['idle_p99_ms']:.1f}, {found['idle_max_ms']:.1f}"
        work = f"work {found['work_p99_ms']:.1f}, {found['work_max_ms']:.1f}; {found['lines_per_s']:.0f} log lines/s"
        rows += [
            Row(f"{page}: lateness, p99", found["p99_ms"], LAG_P99_MS, "ms", idle, judged=not busy),
            Row(f"{page}: lateness, max", found["max_ms"], LAG_MAX_MS, "ms", work, judged=not busy),
        ]
        if busy:
            rows.append(Row(f"{page}: at work in one turn, max", found["work_max_ms"], LAG_MAX_MS, "ms"))
    return rows


def fill(who_models: Path) -> None:
    """Give the folder 1,000 names, all of the one model that is in it."""
    (manifest,) = (path for path in (who_models / "manifests").rglob("*") if path.is_file())
    for number in range(MODELS - 1):
        copied = manifest.parents[1] / f"copy-{number:04d}" / manifest.name
        copied.parent.mkdir(parents=True)
        shutil.copyfile(manifest, copied)


def lag_child(seconds: float) -> int:
    """Run the window in this process, with all that is going on, and print what the probe has seen on each page."""
    from launcher.app.front import Front
    from launcher.app.launcher import Launcher
    from launcher.app.start import make_application
    from launcher.loop import make_loop

    app = make_application(sys.argv)
    launcher = Launcher(Front(app))

    async def measure() -> dict[str, dict[str, float]]:
        await _until(lambda: _running(launcher), "the server runs")
        core = launcher._wishes.core
        assert core is not None
        async for _ in core.client.pull(TINY):
            pass
        await asyncio.to_thread(fill, Path(os.environ["OLLAMA_MODELS"]))
        await core.models()
        await _until(lambda: _installed(launcher) == MODELS, "1,000 models are listed")
        launcher._wishes.pull(PULLS)
        noise = _noise(core.control.log_path)
        found: dict[str, dict[str, float]] = {}
        try:
            for page in PAGES:
                launcher.window.show_page(page)
                await asyncio.sleep(1.5)
                idle = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "tests.benchmarks.bench_window", "--idle-child", str(seconds)),
                    stdout=asyncio.subprocess.PIPE,
                )
                assert idle.stdout is not None
                await idle.stdout.readline()  # it begins
                size_before = core.control.log_path.stat().st_size
                seen = await watch(seconds)
                idle_p99_ms, idle_max_ms = map(float, (await idle.stdout.readline()).split())
                await idle.wait()
                lines = core.control.log_path.read_bytes()[size_before:].count(b"\n")
                found[page] = {
                    "p99_ms": seen.p99_ms(),
                    "max_ms": max(seen.late_ms),
                    "work_p99_ms": sorted(seen.work_ms)[int(len(seen.work_ms) * 0.99)],
                    "work_max_ms": max(seen.work_ms),
                    "idle_p99_ms": idle_p99_ms,
                    "idle_max_ms": idle_max_ms,
                    "lines_per_s": lines / seconds,
                }
            pulling = [each for each in launcher.store.transfers if each.model in PULLS and not each.phase.ended]
            if len(pulling) != len(PULLS):
                raise SystemExit(f"the downloads did not run to the end: {launcher.store.transfers}")
        finally:
            noise.kill()
            noise.wait()
        return found

    async def main() -> dict[str, dict[str, float]]:
        run = asyncio.create_task(launcher.run())
        try:
            return await measure()
        finally:
            launcher.quit()
            await run

    with asyncio.Runner(loop_factory=lambda: make_loop(app)) as runner:
        found = runner.run(main())
    print(json.dumps(found))
    return 0


def idle_child(seconds: float) -> int:
    """An idle loop, for the lateness that is the machine's."""
    print("begins", flush=True)
    seen = asyncio.run(watch(seconds))
    print(seen.p99_ms(), max(seen.late_ms))
    return 0


def _noise(log: Path) -> subprocess.Popen[bytes]:
    """Let another process write the log, as a server does, at the wanted pace."""
    source = (
        "import sys, time\n"
        "due_s = time.monotonic()\n"
        "number = 0\n"
        "with open(sys.argv[1], 'ab', buffering=0) as log:\n"
        "    while True:\n"
        "        number += 1\n"
        "        log.write(b'time=2026-03-02T15:30:00.000Z level=INFO source=bench.go:%d msg=\"a line\"\\n' % number)\n"
        f"        due_s += {1 / LINES_PER_S}\n"
        "        time.sleep(max(due_s - time.monotonic(), 0))\n"
    )
    return subprocess.Popen([sys.executable, "-S", "-c", source, str(log)])


def _running(launcher: object) -> bool:
    status = launcher.store.server  # type: ignore[attr-defined] # imported late
    return status is not None and status.state.value == "running"


def _installed(launcher: object) -> int:
    models = launcher.store.models  # type: ignore[attr-defined] # imported late
    return len(models.installed or ()) if models is not None else 0


async def _until(condition: Callable[[], object], what: str) -> None:
    deadline_s = time.monotonic() + _LIMIT_S
    while not condition():
        if time.monotonic() > deadline_s:
            raise SystemExit(f"{what}: not within {_LIMIT_S:g} s")
        await asyncio.sleep(0.02)


# --- the table of models ----------------------------------------------------------------------------------------------


def many_models() -> Models:
    now = datetime.now(UTC)
    families = ("llama", "qwen3", "gemma3", "nomic-bert", "phi3")
    return Models(
        tuple(
            InstalledModel(
                name=f"{families[number % 5]}-{number:04d}:{number % 70 + 1}b",
                size_bytes=1_000_000_000 + number * 7_777_777 % 40_000_000_000,
                digest=f"{number:064x}",
                modified_at=now - timedelta(hours=number),
                family=families[number % 5],
                parameter_size=f"{number % 70 + 1}B",
                quantization=("Q4_K_M", "Q8_0", "F16")[number % 3],
                capabilities=("completion", "tools") if number % 2 else ("embedding",),
                remote_host=None,
                context_length=8_192,
            )
            for number in range(MODELS)
        ),
        (),
    )


def bench_table() -> list[Row]:
    """In this process, offscreen. The best of three rounds of each step: what is left is ours, not the machine's."""
    os.environ["QT_QPA_PLATFORM"] = "offscreen"
    from PySide6.QtCore import QEvent, QObject, Qt
    from PySide6.QtTest import QTest
    from PySide6.QtWidgets import QApplication

    from launcher.ui.pages.models import ModelsPage
    from launcher.ui.store import Store
    from launcher.ui.theme import Appearance, Theme

    app = QApplication.instance() or QApplication(["bench", "-style", "fusion"])
    assert isinstance(app, QApplication)
    theme, store = Theme(app), Store()
    theme.apply(Appearance.LIGHT)
    page = ModelsPage(store, theme)
    page.resize(1040, 700)
    page.show()
    store.put(many_models())
    QTest.qWait(300)

    class Painted(QObject):
        count = 0

        def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802 - Qt's name
            if event.type() == QEvent.Type.Paint:
                self.count += 1
            return False

    field, view, painted = page.filter_field, page.view, Painted()
    view.viewport().installEventFilter(painted)

    def to_repaint_ms(deed: Callable[[], object]) -> float:
        before, began_s = painted.count, time.perf_counter()
        deed()
        view.viewport().update()  # also where the same rows stay
        while painted.count == before and time.perf_counter() - began_s < 1.0:
            app.processEvents()
        took_s = time.perf_counter() - began_s
        QTest.qWait(60)  # what was put off to the next frame is done, too
        return took_s * 1e3

    def round_of(steps: Sequence[Callable[[], object]], prepare: Callable[[], object]) -> list[float]:
        rounds: list[list[float]] = []
        for _ in range(3):
            prepare()
            QTest.qWait(100)
            rounds.append([to_repaint_ms(step) for step in steps])
        return [min(step) for step in zip(*rounds, strict=True)]

    typed = [lambda key=key: QTest.keyClicks(field, key) for key in "qwen3-01"]
    taken_back = [lambda: QTest.keyClick(field, Qt.Key.Key_Backspace)] * 8
    sorts = [lambda column=column: view.sortByColumn(column, Qt.SortOrder.AscendingOrder) for column in (0, 1, 2, 4)]
    bar = view.verticalScrollBar()
    pages = [lambda: bar.setValue(bar.value() + bar.pageStep())] * 5 + [lambda: bar.setValue(0)]
    rows = []
    for name, steps, prepare in (
        ("filter keystroke to repaint, 1,000 models", [*typed, *taken_back], view.clearSelection),
        ("  with all of them selected", [*typed, *taken_back], view.selectAll),
        ("  sort by a column", sorts, view.clearSelection),
        ("  page down", pages, view.clearSelection),
    ):
        took_ms = round_of(steps, prepare)
        rows.append(
            Row(
                name,
                max(took_ms),
                FRAME_MS,
                "ms",
                f"the worst of {len(took_ms)}; median {statistics.median(took_ms):.1f}",
            )
        )
    page.hide()
    return rows


def main() -> int:
    """Run, print, and return 1 when a bound is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="paint,memory,lag,idle,table", help="parts, with commas between them")
    parser.add_argument("--runs", type=int, default=9, help="of the first paint; a third as many of memory")
    parser.add_argument("--seconds", type=float, default=8.0, help="that the loop is watched on each page")
    parser.add_argument("--lag-child", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--idle-child", type=float, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.lag_child is not None:
        return lag_child(chosen.lag_child)
    if chosen.idle_child is not None:
        return idle_child(chosen.idle_child)
    parts: dict[str, Callable[[], list[Row]]] = {
        "paint": lambda: bench_paint(chosen.runs),
        "memory": lambda: bench_memory(max(chosen.runs // 3, 1)),
        "lag": lambda: bench_lag(chosen.seconds),
        "idle": bench_idle,
        "table": bench_table,
    }
    held = True
    for part in chosen.only.split(","):
        for row in parts[part.strip()]():
            print(row, flush=True)
            held = held and row.held
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
