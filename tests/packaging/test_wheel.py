"""What a wheel carries, and that resources are reached from it as from an editable install."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from launcher import paths
from tests.support.bootstrap import ROOT

FOR_THE_README = "screenshots"
RESOURCES = sorted(
    path
    for path in (each.relative_to(ROOT / "resources") for each in (ROOT / "resources").rglob("*") if each.is_file())
    if path.parts[0] != FOR_THE_README
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel as a packager without network does, with the back-end that is installed."""
    folder = tmp_path_factory.mktemp("wheel")
    build = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert build.returncode == 0, build.stdout + build.stderr
    (path,) = folder.glob("*.whl")
    return path


def members(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def test_it_holds_the_package_and_nothing_else(wheel: Path) -> None:
    tops = {name.split("/")[0] for name in members(wheel)}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"launcher"}


def test_tests_and_screenshots_stay_at_home(wheel: Path) -> None:
    names = members(wheel)
    assert [
        name for name in names if "tests" in Path(name).parts or Path(name).name.startswith(("test_", "conftest"))
    ] == []
    assert [name for name in names if "screenshot" in name.lower()] == []


def test_all_modules_and_the_marker_of_types_are_in(wheel: Path) -> None:
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "launcher").rglob("*.py")}
    assert modules | {"launcher/py.typed"} <= set(members(wheel))


def test_all_resources_are_in(wheel: Path) -> None:
    assert RESOURCES
    assert {f"launcher/_resources/{path.as_posix()}" for path in RESOURCES} <= set(members(wheel))


def test_licence_and_entry_are_in(wheel: Path) -> None:
    names = members(wheel)
    assert [name for name in names if name.endswith(".dist-info/licenses/LICENSE")]
    (entries,) = (name for name in names if name.endswith(".dist-info/entry_points.txt"))
    with zipfile.ZipFile(wheel) as archive:
        assert "ollama-launcher = launcher.__main__:main" in archive.read(entries).decode()


@pytest.mark.parametrize("name", [path.as_posix() for path in RESOURCES])
def test_a_checkout_reaches_its_resources(name: str) -> None:
    assert paths.resource(name).read_bytes() == (ROOT / "resources" / name).read_bytes()


def test_an_installed_wheel_reaches_its_resources(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    script = "import sys; from launcher.paths import resource; print(*map(resource, sys.argv[1:]), sep='\\n')"
    run = subprocess.run(
        [sys.executable, "-c", script, *map(str, RESOURCES)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    found = [Path(line) for line in run.stdout.splitlines()]
    assert found == [tmp_path / "launcher" / "_resources" / path for path in RESOURCES]
    assert all(path.is_file() for path in found)
