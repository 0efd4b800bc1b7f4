"""The first import of PySide6, and what is put right there before anything else is imported.

Where a system library is missing, e.g. libEGL.so.1, it is here that ImportError is raised.
"""

from __future__ import annotations

import sys
from types import ModuleType


def load_qt() -> None:
    """Import PySide6; modules that are imported from then on cost what they cost without it."""
    import PySide6.QtCore  # noqa: F401 - loads what is put right below

    _keep_sources_unread(sys.modules.get("PySide6.support.feature"))


def _keep_sources_unread(feature: ModuleType | None) -> None:
    """Let no module be searched for the word PySide6.

    WORKAROUND PYSIDE-2029: to know where ``from __feature__ import …`` may have a meaning, PySide6 (seen in 6.11 and
    6.12) reads the whole source of each module that is imported after it, and ``linecache`` keeps it: 10 MB for ours
    and our libraries', and 5 % of the time to the first paint. Nobody here uses ``__feature__``, and "does not use
    PySide6" is what PySide6 itself assumes where there is no source.
    """
    if hasattr(feature, "_mod_uses_pyside"):
        setattr(feature, "_mod_uses_pyside", _says_no)  # noqa: B010 - a module has no such attribute for mypy


def _says_no(_module: object) -> bool:
    return False
