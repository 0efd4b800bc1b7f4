"""Loads packaging/screenshots.py, which belongs to no package: its window and its snapshots are shown in tests, too."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]
PATH = ROOT / "packaging" / "screenshots.py"


def load() -> ModuleType:
    """Return the module; the same one at each call."""
    name = "launcher_screenshots"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, PATH)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]
