"""``launcher.ollama`` is a public interface: what it offers is listed, documented and stands on its own."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import launcher.ollama as package
from launcher.ollama import Client


def test_all_is_sorted_and_true() -> None:
    assert package.__all__ == sorted(package.__all__)
    later = [name for names in package._LATER.values() for name in names]
    assert len(later) == len(set(later))
    at_once = {
        name for name, value in vars(package).items() if not name.startswith("_") and not inspect.ismodule(value)
    }
    assert at_once - {"annotations", "Any", "TYPE_CHECKING", *later} == set(package.__all__) - set(later)
    assert set(later) <= set(package.__all__) <= set(dir(package))


def test_what_does_not_exist_is_told() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = package.Nothing


def test_what_is_public_has_a_docstring() -> None:
    for name in package.__all__:
        value = getattr(package, name)
        # A type alias has no place for one.
        assert not inspect.isclass(value) or inspect.getdoc(value), name
    for name, method in inspect.getmembers(Client, callable):
        if not name.startswith("_"):
            assert inspect.getdoc(method), name


def test_every_call_can_be_bounded() -> None:
    without = {"aclose"}
    for name, method in inspect.getmembers(Client, inspect.isfunction):
        if not name.startswith("_") and name not in without:
            assert {"timeout_s", "silence_s"} & set(inspect.signature(method).parameters), name


def test_it_needs_neither_qt_nor_the_rest() -> None:
    code = (
        "import sys; from launcher.ollama import Client; "
        "ours = {m for m in sys.modules if m.startswith('launcher.')}; "
        "assert all(m.startswith(('launcher.ollama', 'launcher.domain', 'launcher.errors')) for m in ours), ours; "
        "assert not {'PySide6', 'qasync', 'psutil', 'click', 'rich'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
