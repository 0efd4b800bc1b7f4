"""Draw every page of the window into ``resources/screenshots/``: ``python packaging/screenshots.py [--out FOLDER]``.

Run it with the Python of a finished ``.venv``. What the pictures show is made up here and published as the services
publish it; no server and no display is needed. They are shown in README.md and stay out of wheel and bundle. The
pictures of one run differ from those of another only where the window, Qt or the fonts do.

Each page is drawn in every look of :data:`LOOKS`, in a process of its own, as Qt reads the scale once.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from launcher.domain.models import InstalledModel, LoadedModel, Models  # noqa: E402 - needs the path above
from launcher.domain.server import Owner, ServerState, ServerStatus  # noqa: E402
from launcher.domain.settings import Appearance, Settings  # noqa: E402
from launcher.domain.transfer import Phase, Transfer, Trouble  # noqa: E402

if TYPE_CHECKING:
    from PySide6.QtGui import QImage
    from PySide6.QtWidgets import QApplication, QWidget

    from launcher.ui.main_window import MainWindow
    from launcher.ui.store import Store
    from launcher.ui.theme import Theme

OUT = ROOT / "resources" / "screenshots"
NOW = datetime(2026, 3, 2, 15, 30, tzinfo=UTC)
"""The moment that all pictures show: what says how long ago something was does not change from run to run."""
FONTS = ("Inter", "DejaVu Sans")
_COLORS = 256
_SETTLED_S = 0.25
"""Longer than anything waits that paints at most 30 times a second."""


@dataclass(frozen=True, slots=True)
class Look:
    """One way to see the window. ``name`` is the end of the pictures' names."""

    name: str
    appearance: Appearance
    width: int = 1040
    height: int = 700
    scale: int = 1


LOOKS = (
    Look("light", Appearance.LIGHT),
    Look("dark", Appearance.DARK),
    Look("small", Appearance.LIGHT, width=760, height=520),
    Look("double", Appearance.DARK, scale=2),
)


@dataclass(frozen=True, slots=True)
class Scene:
    """What one picture shows: a page, and what was published. ``name`` is the beginning of the pictures' names."""

    name: str
    page: str
    server: ServerStatus
    models: Models | None
    transfers: tuple[Transfer, ...] = ()


# --- what is shown ----------------------------------------------------------------------------------------------------


def _installed(
    name: str, size_bytes: int, days: float, facts: tuple[str, str, str], can: tuple[str, ...], context: int
) -> InstalledModel:
    family, parameters, quantization = facts
    return InstalledModel(
        name=name,
        size_bytes=size_bytes,
        digest=f"{abs(size_bytes * 2_654_435_761) % 16**12:012x}" + "0" * 52,
        modified_at=NOW - timedelta(days=days),
        family=family,
        parameter_size=parameters,
        quantization=quantization,
        capabilities=can,
        remote_host=None,
        context_length=context,
    )


INSTALLED = (
    _installed("qwen3:8b", 5_225_388_164, 3, ("qwen3", "8.2B", "Q4_K_M"), ("completion", "tools", "thinking"), 40_960),
    _installed("gemma3:4b", 3_338_801_804, 8, ("gemma3", "4.3B", "Q4_K_M"), ("completion", "vision"), 131_072),
    _installed("llama3.2:1b", 1_321_098_329, 15, ("llama", "1.2B", "Q8_0"), ("completion", "tools"), 131_072),
    _installed("nomic-embed-text:latest", 274_302_450, 40, ("nomic-bert", "137M", "F16"), ("embedding",), 2_048),
    _installed("deepseek-r1:14b", 8_988_112_209, 64, ("qwen2", "14.8B", "Q4_K_M"), ("completion", "thinking"), 131_072),
)
LOADED = (
    LoadedModel(
        "qwen3:8b", 6_195_000_000, 6_195_000_000, 8_192, NOW + timedelta(minutes=4, seconds=12), INSTALLED[0].digest
    ),
    LoadedModel("gemma3:4b", 5_410_000_000, 4_105_000_000, 4_096, None, INSTALLED[1].digest),
)
MODELS = Models(INSTALLED, LOADED)
RUNNING = ServerStatus(
    ServerState.RUNNING,
    Owner.OURS,
    address="http://127.0.0.1:11434",
    local=True,
    exposed=False,
    version="0.33.0",
    pid=4711,
    started_at=(NOW - timedelta(hours=2, minutes=14)).timestamp(),
)
MISSING = ServerStatus(
    ServerState.NOT_INSTALLED,
    None,
    address="http://127.0.0.1:11434",
    local=True,
    exposed=False,
    reason="No Ollama was found on this computer.",
    hint="Install Ollama from https://ollama.com/download, or name its program in the settings.",
)
TRANSFERS = (
    Transfer(
        "llama3.2:3b",
        Phase.PULLING,
        completed_bytes=1_246_000_000,
        total_bytes=2_019_393_189,
        total_is_so_far=False,
        permille=617,
        rate_bps=48_200_000.0,
        eta_s=16.0,
    ),
    Transfer(
        "mistral-small:24b",
        Phase.STALLED,
        completed_bytes=3_870_000_000,
        total_bytes=14_333_927_918,
        total_is_so_far=False,
        permille=270,
    ),
    Transfer("gemma3:27b", Phase.QUEUED, total_bytes=17_396_936_888, total_is_so_far=False, permille=0),
    Transfer(
        "phi4:14b",
        Phase.PAUSED,
        completed_bytes=6_830_000_000,
        total_bytes=9_053_116_391,
        total_is_so_far=False,
        permille=754,
    ),
    Transfer(
        "lama3.2:1b",
        Phase.FAILED,
        trouble=Trouble.NO_SUCH_MODEL,
        error="the registry knows no model of this name",
        hint="Look at the spelling, also after the colon.",
        detail="pull model manifest: file does not exist",
    ),
    Transfer(
        "nomic-embed-text",
        Phase.DONE,
        completed_bytes=274_302_450,
        total_bytes=274_302_450,
        total_is_so_far=False,
        permille=1000,
    ),
)
SETTINGS = Settings(default_model="llama3.2:1b")
FREE_BYTES = 212_000_000_000
LOG_LINES = (
    'time=2026-03-02T13:16:02.311Z level=INFO source=routes.go:1871 msg="server config" env="map[OLLAMA_HOST:http://1'
    '27.0.0.1:11434 OLLAMA_KEEP_ALIVE:5m0s OLLAMA_MAX_QUEUE:512 OLLAMA_NUM_PARALLEL:1]"',
    'time=2026-03-02T13:16:02.314Z level=INFO source=images.go:518 msg="total blobs: 23"',
    'time=2026-03-02T13:16:02.315Z level=INFO source=images.go:525 msg="total unused blobs removed: 0"',
    'time=2026-03-02T13:16:02.316Z level=INFO source=routes.go:1924 msg="Listening on 127.0.0.1:11434 (version 0.33)"',
    'time=2026-03-02T13:16:02.318Z level=INFO source=runner.go:67 msg="discovering available GPUs..."',
    'time=2026-03-02T13:16:03.902Z level=INFO source=types.go:42 msg="inference compute" id=GPU-0 library=CUDA compute'
    '=8.9 name=CUDA0 description="NVIDIA GeForce RTX 4070" total="12.0 GiB" available="11.2 GiB"',
    '[GIN] 2026/03/02 - 13:16:04 | 200 |      31.274µs |       127.0.0.1 | GET      "/api/version"',
    '[GIN] 2026/03/02 - 13:16:04 | 200 |    1.284517ms |       127.0.0.1 | GET      "/api/tags"',
    '[GIN] 2026/03/02 - 13:16:04 | 200 |      22.148µs |       127.0.0.1 | GET      "/api/ps"',
    'time=2026-03-02T15:24:10.095Z level=INFO source=server.go:429 msg="starting runner" cmd="ollama runner --port 37'
    '841"',
    'time=2026-03-02T15:24:10.121Z level=INFO source=sched.go:443 msg="system memory" total="31.3 GiB" free="22.8 GiB"',
    'time=2026-03-02T15:24:12.657Z level=INFO source=server.go:1289 msg="llama runner started in 2.56 seconds"',
    '[GIN] 2026/03/02 - 15:24:19 | 200 |  9.126084155s |       127.0.0.1 | POST     "/api/chat"',
    'time=2026-03-02T15:27:45.480Z level=INFO source=download.go:181 msg="downloading dde5aa3fc5ff in 16 126 MB part'
    '(s)"',
    'time=2026-03-02T15:28:31.903Z level=WARN source=download.go:376 msg="dde5aa3fc5ff part 7 stalled; retrying"',
    '[GIN] 2026/03/02 - 15:29:12 | 200 |  4.882107936s |       127.0.0.1 | POST     "/api/embed"',
)

SCENES = (
    Scene("server", "server", RUNNING, MODELS, TRANSFERS),
    Scene("no-ollama", "server", MISSING, None),
    Scene("models", "models", RUNNING, MODELS, TRANSFERS),
    Scene("downloads", "downloads", RUNNING, MODELS, TRANSFERS),
    Scene("log", "log", RUNNING, MODELS, TRANSFERS),
    Scene("settings", "settings", RUNNING, MODELS, TRANSFERS),
)


# --- the window that shows it -----------------------------------------------------------------------------------------


def use_font(app: QApplication) -> str:
    """Set the type of the pictures, so that they do not hang on the desktop; returns the family."""
    from PySide6.QtGui import QFont, QFontDatabase

    installed = QFontDatabase.families()
    family = next((name for name in FONTS if name in installed), app.font().family())
    app.setFont(QFont(family, 10))
    return family


def make_window(store: Store, theme: Theme) -> MainWindow:
    """All pages in the frame, as the program has them, at the moment :data:`NOW`."""
    from launcher.ui.main_window import MainWindow
    from launcher.ui.pages.downloads import DownloadsPage
    from launcher.ui.pages.log import LogPage
    from launcher.ui.pages.models import ModelsPage
    from launcher.ui.pages.server import ServerPage
    from launcher.ui.pages.settings import SettingsPage

    window = MainWindow(store, theme)
    log = LogPage(store, theme)
    log.append(LOG_LINES)
    pages: dict[str, tuple[str, str, QWidget]] = {
        "server": ("Server", "server", ServerPage(store, theme, now_s=NOW.timestamp)),
        "models": ("Models", "models", ModelsPage(store, theme, now_s=NOW.timestamp)),
        "downloads": ("Downloads", "download", DownloadsPage(store, theme)),
        "log": ("Log", "log", log),
        "settings": ("Settings", "settings", SettingsPage(store, theme, environ={}, system="linux")),
    }
    for key, (title, icon, page) in pages.items():
        window.add_page(key, title, icon, page)
    window.footer.show_free_space(FREE_BYTES)
    return window


def show_scene(window: MainWindow, store: Store, scene: Scene) -> None:
    """Publish what the scene has, and turn to its page."""
    store.put(SETTINGS)
    store.put(scene.server)
    store.put(scene.models or Models(None, None))
    store.put(scene.transfers)
    window.show_page(scene.page)


def pictures(look: Look) -> Iterator[tuple[str, QImage]]:
    """Draw all scenes in one look, which is this process's from here on; yields file names and pictures."""
    os.environ["QT_QPA_PLATFORM"] = "offscreen"
    os.environ["QT_SCALE_FACTOR"] = str(look.scale)
    os.environ["TZ"] = "UTC"
    if hasattr(time, "tzset"):
        time.tzset()
    from PySide6.QtCore import QLocale
    from PySide6.QtTest import QTest
    from PySide6.QtWidgets import QApplication

    from launcher.ui.store import Store
    from launcher.ui.theme import Theme

    QLocale.setDefault(QLocale(QLocale.Language.English, QLocale.Country.UnitedStates))
    app = QApplication(["screenshots", "-style", "fusion"])
    use_font(app)
    theme = Theme(app)
    theme.apply(look.appearance)
    for scene in SCENES:
        store = Store()
        window = make_window(store, theme)
        window.resize(look.width, look.height)
        window.show()
        show_scene(window, store, scene)
        # No frame of the keyboard, and no cursor that blinks.
        window.setFocus()
        QTest.qWait(round(_SETTLED_S * 1000))
        yield f"{scene.name}-{look.name}.png", window.grab().toImage()
        window.hide()
        window.deleteLater()


# --- files ------------------------------------------------------------------------------------------------------------


def with_palette(image: QImage) -> QImage:
    """The picture in at most 256 colours, each the nearest of the most frequent ones: half the bytes, no dither."""
    from PySide6.QtGui import QImage

    rgb = image.convertToFormat(QImage.Format.Format_RGB32)
    pixels = memoryview(rgb.constBits()).cast("I")
    counted = Counter(pixels)
    table = [color for color, _ in counted.most_common(_COLORS)]
    parts = [(color >> 16 & 255, color >> 8 & 255, color & 255) for color in table]
    place = {color: index for index, color in enumerate(table)}
    for color in counted:
        if color not in place:
            red, green, blue = color >> 16 & 255, color >> 8 & 255, color & 255
            place[color] = min(
                range(len(parts)),
                key=lambda i: (parts[i][0] - red) ** 2 + (parts[i][1] - green) ** 2 + (parts[i][2] - blue) ** 2,
            )
    indexes = bytes(map(place.__getitem__, pixels))
    width, height = rgb.width(), rgb.height()
    indexed = QImage(indexes, width, height, width, QImage.Format.Format_Indexed8)
    indexed.setColorTable([color | 0xFF000000 for color in table])
    return indexed.copy()  # which owns its pixels


def save(image: QImage, path: Path) -> None:
    """Write as few bytes as Qt can."""
    from PySide6.QtGui import QImageWriter

    writer = QImageWriter(str(path))
    writer.setCompression(100)
    if not writer.write(with_palette(image)):
        raise SystemExit(f"{path} cannot be written: {writer.errorString()}")


def main(arguments: Sequence[str]) -> int:
    """Draw one look, or each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=OUT, help="the folder to write to (default: resources/screenshots)")
    parser.add_argument("--look", choices=[look.name for look in LOOKS], help="draw this one only")
    chosen = parser.parse_args(arguments)
    chosen.out.mkdir(parents=True, exist_ok=True)
    if chosen.look is None:
        for look in LOOKS:
            command = [sys.executable, __file__, "--out", str(chosen.out), "--look", look.name]
            subprocess.run(command, cwd=ROOT, check=True)
        return 0
    look = next(look for look in LOOKS if look.name == chosen.look)
    for name, image in pictures(look):
        save(image, chosen.out / name)
        print(f"{name}: {image.width()}x{image.height()}, {(chosen.out / name).stat().st_size / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
