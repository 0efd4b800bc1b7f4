"""The decisions of the set-up, each apart from the machine it is made for."""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import bootstrap as support

bootstrap = support.load()

DEBIAN_12 = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_ID="12"\n'
UBUNTU = 'NAME="Ubuntu"\nID=ubuntu\nID_LIKE=debian\n'
MINT = "ID=linuxmint\nID_LIKE='ubuntu debian'\n"
FEDORA = 'NAME="Fedora Linux"\nID=fedora\n# a comment\n\n'
ROCKY = 'ID="rocky"\nID_LIKE="rhel centos fedora"\n'
ARCH = 'NAME="Arch Linux"\nID=arch\n'


def python(version: tuple[int, int, int] = (3, 13, 0), **changes: Any) -> Any:
    facts = {
        "path": f"/opt/python{version[0]}.{version[1]}",
        "version": version,
        "implementation": "CPython",
        "bits": 64,
        "free_threaded": False,
        "missing": (),
    }
    return bootstrap.Python(**{**facts, **changes})


# --- the oldest Python that may run it ---------------------------------------------------------------------------


MENU = support.PATH.with_name("menu.py")
both = pytest.mark.parametrize("path", [support.PATH, MENU], ids=["bootstrap", "menu"])


@both
def test_the_oldest_python_reads_it(path: Path) -> None:
    ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 8))


@both
def test_it_needs_nothing_but_the_standard_library(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    modules = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    modules |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in modules} <= sys.stdlib_module_names | {MENU.stem}


def test_it_calls_nothing_younger_than_3_8() -> None:
    tree = ast.parse(support.PATH.read_text(encoding="utf-8"))
    called = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert not called & {"removeprefix", "removesuffix", "readlink", "hardlink_to", "batched", "walk", "to_thread"}


# --- arguments ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "yes", "version", "passed"),
    [
        pytest.param([], False, None, [], id="none"),
        pytest.param(["models", "rm", "x", "--yes"], False, None, ["models", "rm", "x", "--yes"], id="only the app's"),
        pytest.param(["--yes", "status"], True, None, ["status"], id="yes"),
        pytest.param(["--python", "3.12", "-k", "x"], False, (3, 12), ["-k", "x"], id="a Python"),
        pytest.param(["--python=3.15", "--yes"], True, (3, 15), [], id="a Python, one word"),
        pytest.param(["--", "--yes"], False, None, ["--yes"], id="two dashes end ours"),
        pytest.param(["--demo", "--python", "3.12"], False, None, ["--demo", "--python", "3.12"], id="ours come first"),
        pytest.param(["-k", "a b", ""], False, None, ["-k", "a b", ""], id="spaces and nothing"),
    ],
)
def test_own_options_come_before_what_goes_through(
    arguments: list[str], yes: bool, version: tuple[int, int] | None, passed: list[str]
) -> None:
    assert bootstrap.parse_options(arguments) == (yes, version, passed)


@pytest.mark.parametrize("text", ["", "3", "3.10", "3.16", "2.7", "3.12.1", "three", "/usr/bin/python3"])
def test_a_python_that_cannot_be_asked_for(text: str) -> None:
    with pytest.raises(bootstrap.SetupError, match="is not a Python this program runs on") as caught:
        bootstrap.parse_options(["--python", text])
    assert "3.11 to 3.15" in caught.value.hint


@pytest.mark.parametrize(
    ("arguments", "window"),
    [
        pytest.param([], True, id="nothing"),
        pytest.param(["--demo"], True, id="demo"),
        pytest.param(["--demo", "--hidden"], True, id="two options"),
        pytest.param(["--host", "box:11434"], True, id="an option with a value"),
        pytest.param(["--host=box:11434"], True, id="an option with a value, one word"),
        pytest.param(["--host", "box", "status"], False, id="an option, then a command"),
        pytest.param(["status"], False, id="a command"),
        pytest.param(["models", "list", "--json"], False, id="a command of two words"),
        pytest.param(["--help"], False, id="help"),
        pytest.param(["--version"], False, id="version"),
    ],
)
def test_what_opens_a_window(arguments: list[str], window: bool) -> None:
    assert bootstrap.wants_window(arguments) is window


@pytest.mark.parametrize(
    ("environment", "platform", "said"),
    [
        pytest.param({}, "linux", True, id="bare"),
        pytest.param({"DISPLAY": ""}, "linux", True, id="empty"),
        pytest.param({"DISPLAY": ":0"}, "linux", False, id="X11"),
        pytest.param({"WAYLAND_DISPLAY": "wayland-0"}, "linux", False, id="Wayland"),
        pytest.param({"QT_QPA_PLATFORM": "offscreen"}, "linux", False, id="Qt is told where"),
        pytest.param({}, "win32", False, id="Windows"),
        pytest.param({}, "darwin", False, id="macOS"),
    ],
)
def test_without_a_display_one_sentence_names_the_command_line(
    environment: dict[str, str], platform: str, said: bool
) -> None:
    sentence = bootstrap.no_display_sentence(environment, platform)
    assert bool(sentence) is said
    if said:
        assert "packaging/run.sh status" in sentence
        assert "\n" not in sentence


# --- finding a Python --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("candidate", "wanted", "expected"),
    [
        pytest.param(python((3, 10, 9)), None, False, id="too old"),
        pytest.param(python((3, 11, 0)), None, True, id="oldest"),
        pytest.param(python((3, 15, 2)), None, True, id="newest"),
        pytest.param(python((3, 16, 0)), None, False, id="too new"),
        pytest.param(python((3, 12, 1)), (3, 12), True, id="asked for"),
        pytest.param(python((3, 13, 0)), (3, 12), False, id="another asked for"),
        pytest.param(python(implementation="PyPy"), None, False, id="PyPy"),
        pytest.param(python(bits=32), None, False, id="32 bits"),
        pytest.param(python(free_threaded=True), None, False, id="free-threaded"),
    ],
)
def test_which_python_fits(candidate: Any, wanted: tuple[int, int] | None, expected: bool) -> None:
    assert bootstrap.fits(candidate, wanted) is expected


def test_the_first_that_fits_is_taken_and_the_rest_not_even_started() -> None:
    def found() -> Iterator[Any]:
        yield python((3, 8, 18))
        yield python((3, 12, 1), missing=("ensurepip",))
        yield python((3, 11, 7))
        raise AssertionError("looked on after a good one")

    chosen, incomplete = bootstrap.choose_python(found(), None)
    assert chosen.version == (3, 11, 7)
    assert incomplete.version == (3, 12, 1)


def test_none_fits() -> None:
    assert bootstrap.choose_python([python((3, 8, 18))], None) == (None, None)


def test_the_running_python_is_asked_first() -> None:
    commands = list(bootstrap.candidate_commands({"HOME": "/nowhere"}, "linux"))
    assert commands[0] == [sys.executable]
    names = [command[0] for command in commands if command[0].startswith("python3.")]
    assert names == ["python3.13", "python3.12", "python3.11", "python3.14", "python3.15"]


@pytest.mark.parametrize(
    "environment",
    [{"PYENV_ROOT": "{root}/.pyenv"}, {"HOME": "{root}"}, {"PATH": "/bin:{root}/.pyenv/shims"}],
    ids=["named", "at home", "on PATH"],
)
def test_versions_of_pyenv_are_found_without_their_shims(tmp_path: Path, environment: dict[str, str]) -> None:
    environment = {name: value.format(root=tmp_path) for name, value in environment.items()}
    versions = tmp_path / ".pyenv" / "versions"
    for version in ("3.12.1", "3.9.18"):
        (versions / version / "bin").mkdir(parents=True)
        (versions / version / "bin" / "python3").touch()
    commands = list(bootstrap.candidate_commands(environment, "linux"))
    inside = [command for command in commands if command[0].startswith(str(tmp_path))]
    assert inside == [[str(versions / "3.12.1" / "bin" / "python3")]]


def test_windows_asks_its_launcher() -> None:
    commands = list(bootstrap.candidate_commands({"LOCALAPPDATA": "L"}, "win32"))
    assert ["py", "-3.13"] in commands
    assert [os.path.join("L", "Programs", "Python", "Python312", "python.exe")] in commands


def test_a_python_tells_what_it_is() -> None:
    answer = bootstrap.probe([sys.executable])
    assert answer.version == sys.version_info[:3]
    assert answer.missing == ()
    assert Path(answer.path).exists()


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a script of POSIX")
@pytest.mark.parametrize("body", ["exit 127", "echo garbage"], ids=["shim of nothing", "garbage"])
def test_what_is_no_python_is_passed_over(tmp_path: Path, body: str) -> None:
    program = tmp_path / "python3"
    program.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    program.chmod(0o755)
    assert bootstrap.probe([str(program)]) is None


def test_a_program_that_is_not_there_is_passed_over() -> None:
    assert bootstrap.probe(["python-of-nowhere"]) is None
    assert bootstrap.probe(["/nowhere/python3"]) is None


@pytest.mark.parametrize(
    ("candidate", "family", "package"),
    [
        pytest.param(
            python((3, 11, 2), path="/usr/bin/python3.11", missing=("ensurepip",)),
            bootstrap.DEBIAN,
            "python3.11-venv",
            id="Debian's own",
        ),
        pytest.param(python((3, 11, 2), missing=("ensurepip",)), bootstrap.DEBIAN, "", id="built by hand"),
        pytest.param(python(path="/usr/bin/python3", missing=("_ssl",)), bootstrap.DEBIAN, "", id="without ssl"),
        pytest.param(python(path="/usr/bin/python3", missing=("venv",)), bootstrap.FEDORA, "", id="Fedora's own"),
        pytest.param(python(path="/usr/bin/python3", missing=("venv",)), None, "", id="unknown family"),
    ],
)
def test_which_package_completes_a_python(candidate: Any, family: Any, package: str) -> None:
    assert bootstrap.venv_package(candidate, family) == package


@pytest.mark.parametrize(
    ("wanted", "family", "platform", "words"),
    [
        pytest.param(None, bootstrap.DEBIAN, "linux", "apt-get install python3 python3-venv", id="Debian"),
        pytest.param(None, bootstrap.FEDORA, "linux", "dnf install python3.13", id="Fedora"),
        pytest.param((3, 12), bootstrap.FEDORA, "linux", "dnf install python3.12", id="Fedora, one version"),
        pytest.param((3, 12), bootstrap.DEBIAN, "linux", "pyenv", id="Debian has one version only"),
        pytest.param(None, None, "linux", "package manager", id="unknown family"),
        pytest.param(None, None, "win32", "winget install", id="Windows"),
        pytest.param(None, None, "darwin", "python.org", id="macOS"),
    ],
)
def test_no_python_leads_to_a_command(wanted: tuple[int, int] | None, family: Any, platform: str, words: str) -> None:
    problem = bootstrap.no_python_error(wanted, family, platform)
    assert ("3.12" if wanted else "3.11 to 3.15") in problem.title
    assert words in problem.hint


# --- the system's packages ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "family"),
    [
        pytest.param(DEBIAN_12, bootstrap.DEBIAN, id="Debian"),
        pytest.param(UBUNTU, bootstrap.DEBIAN, id="Ubuntu"),
        pytest.param(MINT, bootstrap.DEBIAN, id="Mint"),
        pytest.param(FEDORA, bootstrap.FEDORA, id="Fedora"),
        pytest.param(ROCKY, bootstrap.FEDORA, id="Rocky"),
        pytest.param(ARCH, None, id="Arch"),
        pytest.param("", None, id="empty"),
        pytest.param("ID='debian\nno assignment\n=x\n", None, id="garbage"),
    ],
)
def test_the_family_is_read_from_os_release(text: str, family: Any) -> None:
    assert bootstrap.family_of(bootstrap.parse_os_release(text)) is family


LDD = """\
PySide6/Qt/plugins/platforms/libqxcb.so:
\tlinux-vdso.so.1 (0x00007ffd)
\tlibQt6XcbQpa.so.6 => /x/libQt6XcbQpa.so.6 (0x00007f)
\tlibxcb-cursor.so.0 => not found
\tlibxcb-icccm.so.4 => not found
PySide6/QtNetwork.abi3.so:
\tlibgssapi_krb5.so.2 => not found
\tlibxcb-cursor.so.0 => not found
\tlibQt6VirtualKeyboard.so.6 => not found
\tlibshiboken6.abi3.so.6.11 => not found
"""


def test_missing_libraries_are_read_from_ldd() -> None:
    assert bootstrap.missing_from_ldd(LDD) == ["libgssapi_krb5.so.2", "libxcb-cursor.so.0", "libxcb-icccm.so.4"]


@pytest.mark.parametrize(
    ("family", "packages", "unknown"),
    [
        pytest.param(bootstrap.DEBIAN, ["libgssapi-krb5-2", "libxcb-cursor0"], ["libnew.so.7"], id="Debian"),
        pytest.param(bootstrap.FEDORA, ["krb5-libs", "libnew.so.7()(64bit)", "xcb-util-cursor"], [], id="Fedora"),
    ],
)
def test_libraries_become_packages(family: Any, packages: list[str], unknown: list[str]) -> None:
    libraries = ["libgssapi_krb5.so.2", "libnew.so.7", "libxcb-cursor.so.0"]
    assert bootstrap.packages_for(libraries, family) == (packages, unknown)


def test_libraries_of_one_package_name_it_once() -> None:
    assert bootstrap.packages_for(["libgthread-2.0.so.0", "libglib-2.0.so.0"], bootstrap.DEBIAN)[0] == ["libglib2.0-0"]


def test_what_the_libraries_of_a_bare_system_need_is_known_too() -> None:
    """Where some of its libraries are there, ldd names the brotli that its freetype wants."""
    needed = ["libbrotlicommon.so.1", "libbrotlidec.so.1", "libfreetype.so.6"]
    assert bootstrap.packages_for(needed, bootstrap.DEBIAN) == (["libbrotli1", "libfreetype6"], [])


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux only")
def test_qt_finds_all_its_libraries_here() -> None:
    assert bootstrap.missing_qt_libraries(Path(sys.prefix)) == []


@pytest.mark.parametrize(
    ("yes", "root", "terminal", "answer", "expected"),
    [
        pytest.param(True, False, True, None, True, id="said in advance"),
        pytest.param(False, True, False, None, True, id="root alone"),
        pytest.param(False, True, True, False, False, id="root at a terminal is asked"),
        pytest.param(False, False, True, True, True, id="a user says yes"),
        pytest.param(False, False, True, False, False, id="a user says no"),
        pytest.param(False, False, False, None, False, id="nobody there to ask"),
    ],
)
def test_who_may_install(yes: bool, root: bool, terminal: bool, answer: bool | None, expected: bool) -> None:
    def ask() -> bool:
        assert answer is not None, "asked for nothing"
        return answer

    assert bootstrap.may_install(yes, root, terminal, ask) is expected


# --- the stamp ---------------------------------------------------------------------------------------------------

RUN, TEST = bootstrap.RUN_LOCK, bootstrap.TEST_LOCK
FOR_APP, FOR_TESTS = bootstrap.FOR_APP, bootstrap.FOR_TESTS


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A checkout whose environment is finished for the app, not for the tests."""
    root = tmp_path / "checkout"
    (root / "packaging").mkdir(parents=True)
    for name in ("pyproject.toml", RUN, TEST):
        (root / name).write_text(f"contents of {name}\n", encoding="utf-8")
    program = bootstrap.venv_program(root / ".venv", "python", "linux")
    program.parent.mkdir(parents=True)
    (tmp_path / "python3.11").touch()
    program.symlink_to(tmp_path / "python3.11")
    bootstrap.write_stamp(root / ".venv", bootstrap.expected_stamp(root, root / ".venv", FOR_APP, "linux"))
    return root


def finished(root: Path, locks: tuple[str, ...] = FOR_APP) -> bool:
    return bool(bootstrap.is_finished(root, root / ".venv", locks, "linux"))


def test_a_finished_environment_is_left_alone(project: Path) -> None:
    assert finished(project)


def test_what_the_app_needs_is_not_all_that_the_tests_need(project: Path) -> None:
    assert not finished(project, FOR_TESTS)


def test_what_serves_the_tests_serves_the_app(project: Path) -> None:
    venv = project / ".venv"
    bootstrap.write_stamp(venv, bootstrap.expected_stamp(project, venv, FOR_TESTS, "linux"))
    assert finished(project, FOR_TESTS)
    assert finished(project, FOR_APP)


def test_what_serves_the_app_is_judged_by_its_own_lock(project: Path) -> None:
    (project / TEST).write_text("newer tools\n", encoding="utf-8")
    assert finished(project)


def test_other_knowledge_in_the_stamp_does_no_harm(project: Path) -> None:
    stamp = bootstrap.read_stamp(project / ".venv")
    bootstrap.write_stamp(project / ".venv", {**stamp, "libraries_complete": True})
    assert finished(project)


@pytest.mark.parametrize("name", ["pyproject.toml", RUN])
def test_a_changed_file_asks_for_a_new_set_up(project: Path, name: str) -> None:
    (project / name).write_text("changed\n", encoding="utf-8")
    assert not finished(project)


def test_a_moved_checkout_asks_for_a_new_set_up(project: Path) -> None:
    moved = project.rename(project.with_name("elsewhere"))
    assert not finished(moved)


def test_another_python_behind_the_link_asks_for_a_new_set_up(project: Path) -> None:
    program = bootstrap.venv_program(project / ".venv", "python", "linux")
    newer = project.parent / "python3.13"
    newer.touch()
    program.unlink()
    program.symlink_to(newer)
    assert not finished(project)


def test_a_python_that_is_gone_asks_for_a_new_set_up(project: Path) -> None:
    (project.parent / "python3.11").unlink()
    assert not finished(project)


@pytest.mark.parametrize("text", ["", "[]", "{", "null"])
def test_a_stamp_of_garbage_asks_for_a_new_set_up(project: Path, text: str) -> None:
    (project / ".venv" / bootstrap.STAMP).write_text(text, encoding="utf-8")
    assert not finished(project)


def test_each_python_asked_for_has_its_own_environment() -> None:
    assert bootstrap.venv_folder(Path("/p"), None) == Path("/p/.venv")
    assert bootstrap.venv_folder(Path("/p"), (3, 12)) == Path("/p/.venv-3.12")


def test_programs_of_windows_lie_elsewhere() -> None:
    venv = Path("v")
    assert bootstrap.venv_program(venv, "python", "win32") == venv / "Scripts" / "python.exe"
    assert bootstrap.venv_program(venv, "python", "darwin") == venv / "bin" / "python"


def test_pip_is_not_sent_elsewhere() -> None:
    environment = {"PIP_USER": "1", "PYTHONPATH": "/x", "PIP_INDEX_URL": "https://mirror.invalid", "PATH": "/bin"}
    assert bootstrap.child_environment(environment) == {"PIP_INDEX_URL": "https://mirror.invalid", "PATH": "/bin"}


# --- the tests' command ------------------------------------------------------------------------------------------


def test_the_checks_in_order() -> None:
    commands = [command[2:] for command in bootstrap.checks("python", {}, ["-k", "a b"])]
    assert [command[0] for command in commands] == ["ruff", "ruff", "mypy", "mypy", "mypy", "pytest"]
    assert [command[command.index("--platform") + 1] for command in commands[2:5]] == ["linux", "win32", "darwin"]
    assert all("--strict" in command for command in commands[2:5])
    assert commands[-1] == ["pytest", *bootstrap.SIDE_BY_SIDE, "-k", "a b"]


@pytest.mark.parametrize(
    ("arguments", "side_by_side"),
    [
        pytest.param([], True, id="all"),
        pytest.param(["-k", "pull", "-x"], True, id="some of all"),
        pytest.param(["tests/demo"], False, id="a folder"),
        pytest.param(["-q", "tests/test_paths.py::test_x"], False, id="one test"),
        pytest.param(["-n0"], False, id="a number"),
        pytest.param(["-n", "8"], False, id="another number"),
        pytest.param(["-p", "no:xdist"], False, id="without the plugin"),
        pytest.param(["--pdb"], False, id="a debugger"),
    ],
)
def test_all_tests_run_side_by_side(arguments: list[str], side_by_side: bool) -> None:
    command = bootstrap.checks("python", {}, arguments)[-1]
    assert command[command.index("pytest") + 1 :] == [*(bootstrap.SIDE_BY_SIDE if side_by_side else []), *arguments]


@pytest.mark.parametrize(("value", "strict"), [("true", True), ("1", True), ("false", False), ("", False)])
def test_ci_accepts_no_skips(value: str, strict: bool) -> None:
    pytest_command = bootstrap.checks("python", {"CI": value}, [])[-1]
    assert ("tests.support.no_skips" in pytest_command) is strict


# --- making the environment --------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right there")
def test_an_environment_that_is_a_link_is_never_emptied(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").write_text("")
    (tmp_path / ".venv").symlink_to(elsewhere)

    with pytest.raises(bootstrap.SetupError) as refused:
        bootstrap.make_venv(tmp_path / ".venv", python())

    assert str(elsewhere) in refused.value.title
    assert refused.value.hint
    assert (elsewhere / "precious").exists()
