"""Build the program as a folder that runs on a machine without Python: ``python packaging/bundle.py [--out FOLDER]``.

Run it with the Python of a finished ``.venv`` (``packaging/test.sh`` makes one that has PyInstaller). The result is
``<out>/ollama-launcher/`` with two executables, ``ollama-launcher`` (commands) and ``ollama-launcher-window`` (the
window, for double clicks), and on macOS ``<out>/Ollama Launcher.app``. One folder and not one file: a single file
unpacks itself at each start, which takes a second (measured: 1.35 s against 0.28 s to the first window).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SPEC = ROOT / "packaging" / "launcher.spec"
ICON_SIZES = (16, 24, 32, 48, 64, 128, 256, 512)
_ENTRY = "import sys\nfrom launcher.__main__ import main\nsys.exit(main())\n"


def draw_icons(source: Path, folder: Path) -> list[Path]:
    """Draw the sizes of the app icon, and the formats that Windows and macOS want, from the one SVG."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    from PySide6.QtCore import QRectF, Qt
    from PySide6.QtGui import QGuiApplication, QImage, QPainter
    from PySide6.QtSvg import QSvgRenderer

    application = QGuiApplication.instance() or QGuiApplication(["bundle"])
    renderer = QSvgRenderer(str(source))
    if not renderer.isValid():
        raise SystemExit(f"{source} is not a picture")
    folder.mkdir(parents=True, exist_ok=True)
    drawn: list[Path] = []

    def draw(size: int, name: str) -> None:
        image = QImage(size, size, QImage.Format.Format_ARGB32)
        image.fill(Qt.GlobalColor.transparent)
        painter = QPainter(image)
        renderer.render(painter, QRectF(0, 0, size, size))
        painter.end()
        path = folder / name
        if not image.save(str(path)):
            raise SystemExit(f"{path} cannot be written")
        drawn.append(path)

    for size in ICON_SIZES:
        draw(size, f"app-{size}.png")
    draw(256, "app.png")
    if sys.platform == "win32":
        draw(256, "app.ico")
    if sys.platform == "darwin":
        draw(512, "app.icns")
    del application
    return drawn


def build(out: Path, work: Path) -> Path:
    """Build into ``out``; returns the folder of the bundle."""
    draw_icons(ROOT / "resources" / "icons" / "app.svg", work / "launcher" / "icons")
    entries = work / "launcher"
    for name in ("console", "window"):  # the same program: what differs is that Windows gives only one a console
        (entries / f"{name}.py").write_text(_ENTRY, encoding="utf-8")
    command = [sys.executable, "-m", "PyInstaller", "--noconfirm", "--log-level", "WARN"]
    command += ["--distpath", str(out), "--workpath", str(work), str(SPEC)]
    subprocess.run(command, cwd=ROOT, check=True)
    return out / "ollama-launcher"


def main(arguments: Sequence[str]) -> int:
    """Build and say where it is and how large."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="where the folder goes (default: dist)")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="launcher-bundle-") as work:
        folder = build(chosen.out.resolve(), Path(work))
    size_bytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    print(f"{folder}: {size_bytes / 1e6:.0f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
