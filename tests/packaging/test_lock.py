"""The lock files against pyproject.toml, for every Python and system we support, without the network."""

from __future__ import annotations

import itertools
import re
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.support import bootstrap as support

ROOT = support.ROOT
RENEW = "renew it: python packaging/bootstrap.py lock"

PYTHONS = ("3.11", "3.12", "3.13", "3.14", "3.15")
SYSTEMS = {
    "linux": {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"},
    "win32": {"sys_platform": "win32", "platform_system": "Windows", "os_name": "nt"},
    "darwin": {"sys_platform": "darwin", "platform_system": "Darwin", "os_name": "posix"},
}


def environment(system: str, python: str) -> dict[str, str]:
    """Say what the markers of requirements are judged by there."""
    return {
        **SYSTEMS[system],
        "python_version": python,
        "python_full_version": f"{python}.0",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "platform_machine": "AMD64" if system == "win32" else "x86_64",
    }


ENVIRONMENTS = [
    pytest.param(environment(system, python), id=f"{system}-{python}")
    for system, python in itertools.product(SYSTEMS, PYTHONS)
]


class Pin(NamedTuple):
    """One entry of a lock file."""

    requirement: Requirement
    hashes: int
    asked_by: tuple[str, ...]

    @property
    def name(self) -> str:
        return canonicalize_name(self.requirement.name)

    @property
    def version(self) -> Version:
        (specifier,) = self.requirement.specifier
        assert specifier.operator == "=="
        return Version(specifier.version)

    def holds_in(self, environment: dict[str, str]) -> bool:
        return self.requirement.marker is None or self.requirement.marker.evaluate(environment)


def read_lock(path: Path) -> list[Pin]:
    """Read what `uv pip compile` writes: a pin, its hashes, and who asked for it in the comments."""
    blocks = re.split(r"\n(?=[A-Za-z0-9])", path.read_text(encoding="utf-8"))
    pins = []
    for block in blocks[1:]:
        first = block.splitlines()[0].removesuffix("\\").strip()
        asked_by = re.findall(r"^    #(?: via)?\s+([^\s#]+(?: \([^)]*\))?)$", block, re.MULTILINE)
        pins.append(Pin(Requirement(first), block.count("--hash=sha256:"), tuple(asked_by)))
    return pins


def requirements(*groups: str) -> list[Requirement]:
    """Read what pyproject.toml asks for: the dependencies, the back-end, and the groups with what they include."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

    def members(group: str) -> list[str]:
        found: list[str] = []
        for entry in project["dependency-groups"][group]:
            found += members(entry["include-group"]) if isinstance(entry, dict) else [entry]
        return found

    texts = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    return [Requirement(text) for text in [*texts, *itertools.chain.from_iterable(map(members, groups))]]


RUN_LOCK: str = support.load().RUN_LOCK
TEST_LOCK: str = support.load().TEST_LOCK
LOCKS = [pytest.param(RUN_LOCK, ("build",), id="lock"), pytest.param(TEST_LOCK, ("dev",), id="lock-dev")]


@pytest.mark.parametrize("where", ENVIRONMENTS)
@pytest.mark.parametrize(("lock", "groups"), LOCKS)
def test_every_requirement_has_one_fitting_pin(lock: str, groups: tuple[str, ...], where: dict[str, str]) -> None:
    pins = [pin for pin in read_lock(ROOT / lock) if pin.holds_in(where)]
    versions = {pin.name: pin.version for pin in pins}
    assert len(versions) == len(pins), "two pins of one package hold at once"
    for wanted in requirements(*groups):
        if wanted.marker is None or wanted.marker.evaluate(where):
            name = canonicalize_name(wanted.name)
            assert name in versions, f"{lock} lacks {wanted}; {RENEW}"
            assert wanted.specifier.contains(versions[name]), f"{lock} has {versions[name]} for {wanted}; {RENEW}"


@pytest.mark.parametrize(("lock", "groups"), LOCKS)
def test_every_pin_is_asked_for(lock: str, groups: tuple[str, ...]) -> None:
    pins = read_lock(ROOT / lock)
    names = {pin.name for pin in pins}
    wanted = {canonicalize_name(requirement.name) for requirement in requirements(*groups)}
    for pin in pins:
        assert pin.asked_by, f"nobody asks for {pin.name}"
        assert pin.name in wanted or names.intersection(pin.asked_by), f"nobody asks for {pin.name} any more; {RENEW}"


@pytest.mark.parametrize(("lock", "groups"), LOCKS)
def test_every_pin_has_hashes(lock: str, groups: tuple[str, ...]) -> None:
    assert [pin.name for pin in read_lock(ROOT / lock) if not pin.hashes] == []


@pytest.mark.parametrize(("lock", "groups"), LOCKS)
def test_no_index_and_no_host_is_named(lock: str, groups: tuple[str, ...]) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")
    assert re.findall(r"://|--index|--find-links|--trusted-host| @ ", text) == []


@pytest.mark.parametrize("where", ENVIRONMENTS)
def test_app_and_tests_use_the_same_versions(where: dict[str, str]) -> None:
    app = {pin.name: pin.version for pin in read_lock(ROOT / RUN_LOCK) if pin.holds_in(where)}
    tests = {pin.name: pin.version for pin in read_lock(ROOT / TEST_LOCK) if pin.holds_in(where)}
    assert {name: tests.get(name) for name in app} == app, RENEW


def test_the_qt_that_aborts_is_not_locked_for_old_pythons() -> None:
    # 6.12.0 drops a reference to None per void call; None is mortal before 3.12.
    old = environment("linux", "3.11")
    versions = {pin.name: pin.version for pin in read_lock(ROOT / RUN_LOCK) if pin.holds_in(old)}
    assert versions["pyside6-essentials"] < Version("6.12")
