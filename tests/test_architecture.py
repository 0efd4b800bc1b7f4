"""The house keeps its plan: who may import whom, and what nobody may do.

The tables below are the rule of ``launcher/__init__.py`` in full. A package that is not in them fails: say first what
it may import.
"""

from __future__ import annotations

import ast
import itertools
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HOUSE = ROOT / "launcher"

_LEAVES = {"errors", "paths", "tasks", "environment", "diagnostics"}
_SERVICES = {"server", "downloads", "library", "settings"}
_OF_A_SERVICE = {"ollama", "domain", *_LEAVES}

# Package (or module at the top) -> what it may import of ours. A dotted name allows one module of a package only.
# "" is launcher/__init__.py, the version: everybody may read it.
MAY_IMPORT: dict[str, set[str]] = {
    "": set(),
    "errors": set(),
    "tasks": set(),
    "environment": set(),
    "paths": {"errors"},
    "diagnostics": {"errors", "paths"},
    "loop": {"tasks"},
    "domain": {"errors"},
    # Of the leaves only what runs a person's function on a thread.
    "ollama": {"domain", "errors", "tasks"},
    "server": _OF_A_SERVICE,
    "downloads": _OF_A_SERVICE,
    "library": _OF_A_SERVICE,
    "settings": _OF_A_SERVICE,
    # A program of its own, driven only from outside; its runners are children like any other.
    "demo": {"domain", "errors", "environment"},
    "core": {*_SERVICES, *_OF_A_SERVICE},
    # Joins services and asks a person: by a protocol, as it knows neither window nor terminal.
    "actions": {"core", *_SERVICES, *_OF_A_SERVICE},
    # Of services only what is neither state nor behaviour: errors become exit codes, wire types become lines, and the
    # log of a server is read where no core runs. A client is made by core, and called here.
    "cli": {
        "core",
        "actions",
        "domain",
        *_LEAVES,
        "ollama",
        "server.errors",
        "server.log",
        "library",
        "demo.command",
    },
    "ui": {"domain", "errors", "paths"},
    # The window's composition root: nobody but the entry imports it, and that one late.
    "app": {"ui", "core", "actions", "loop", "domain", "settings", *_LEAVES},
    "__main__": {"cli", "app", "environment"},
}

# Package -> what it may import that is neither ours nor Python's.
MAY_USE: dict[str, set[str]] = {
    "paths": {"platformdirs"},
    "loop": {"PySide6", "qasync"},
    "ollama": {"httpx", "pydantic", "pydantic_core", "docstring_parser", "anyio", "pydantic_ai", "openai"},
    "server": {"psutil", "filelock"},
    "demo": {"h11"},
    "cli": {"click", "rich", "prompt_toolkit"},
    "ui": {"PySide6", "shiboken6"},
    "app": {"PySide6"},
}

# What values and pure functions cannot need: the world, the clock, other threads.
NOT_IN_DOMAIN = {
    "asyncio", "concurrent", "contextvars", "ctypes", "http", "io", "locale", "logging", "multiprocessing", "os",
    "pathlib", "platform", "queue", "random", "secrets", "select", "selectors", "shutil", "signal", "socket", "sqlite3",
    "ssl", "subprocess", "sys", "tempfile", "threading", "time", "urllib.request", "uuid", "warnings", "weakref",
}  # fmt: skip

# Where the distribution is not named as what it installs.
DISTRIBUTIONS = {
    "PySide6": "pyside6-essentials",
    "shiboken6": "pyside6-essentials",
    "docstring_parser": "docstring-parser",
    # The half of it that is compiled, in the one version that fits.
    "pydantic_core": "pydantic",
    # The extra of this name, which brings the other.
    "pydantic_ai": "pydantic-ai-slim",
    "openai": "pydantic-ai-slim",
    "prompt_toolkit": "prompt-toolkit",
}

# Until the first paint, when asyncio is not imported yet: the application's own exec().
RUNS_QT_ALONE = {"launcher.app.front"}
BLIND_CATCHES_ARE_FOR = {"tasks", "diagnostics"}


@dataclass(frozen=True, slots=True)
class Import:
    """One imported module, as it is written in one line."""

    module: str
    line: int
    for_types_only: bool


@dataclass(frozen=True, slots=True)
class Module:
    """One file of the house."""

    path: Path
    tree: ast.Module

    @property
    def name(self) -> str:
        """``launcher.server.find``; a package's own name for its ``__init__``."""
        parts = self.path.relative_to(ROOT).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    @property
    def package(self) -> str:
        return _package(self.name)

    def imports(self) -> Iterator[Import]:
        types_only = {
            id(inner)
            for node in ast.walk(self.tree)
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
            for inner in ast.walk(node)
        }
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield Import(alias.name, node.lineno, id(node) in types_only)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{self.where(node)}: relative imports hide where a name is from"
                assert node.module is not None
                for alias in node.names:
                    inner = f"{node.module}.{alias.name}"
                    module = inner if inner in _names() else node.module
                    yield Import(module, node.lineno, id(node) in types_only)

    def where(self, node: ast.AST) -> str:
        return f"{self.path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}"


@cache
def _files() -> tuple[Path, ...]:
    return tuple(sorted(path for path in HOUSE.rglob("*.py") if "_resources" not in path.parts))


@cache
def _names() -> frozenset[str]:
    return frozenset(Module(path, ast.Module([], [])).name for path in _files())


@cache
def modules() -> tuple[Module, ...]:
    return tuple(Module(path, ast.parse(path.read_text(encoding="utf-8"), str(path))) for path in _files())


def _package(name: str) -> str:
    """Tell the package of a module of ours: ``server`` for ``launcher.server.find``, "" for ``launcher`` itself."""
    _, *rest = name.split(".")
    return rest[0] if rest else ""


def _is_ours(name: str) -> bool:
    return name == "launcher" or name.startswith("launcher.")


def _is_allowed(imported: str, allowed: set[str]) -> bool:
    inner = imported.removeprefix("launcher").removeprefix(".")
    return inner == "" or any(inner == name or inner.startswith(f"{name}.") for name in allowed)


def test_every_package_says_what_it_may_import() -> None:
    assert {module.package for module in modules()} <= set(MAY_IMPORT)


def test_nobody_imports_what_they_may_not() -> None:
    offences = [
        f"{module.path.relative_to(ROOT)}:{found.line} imports {found.module}"
        for module in modules()
        for found in module.imports()
        if _is_ours(found.module)
        and _package(found.module) != module.package
        and not _is_allowed(found.module, MAY_IMPORT.get(module.package, set()))
    ]
    assert offences == []


def test_services_do_not_import_each_other() -> None:
    for service in _SERVICES:
        assert MAY_IMPORT[service].isdisjoint(_SERVICES)


def test_nobody_uses_libraries_that_are_not_theirs() -> None:
    offences = []
    for module in modules():
        for found in module.imports():
            top = found.module.split(".")[0]
            if _is_ours(found.module) or top in sys.stdlib_module_names:
                continue
            if top not in MAY_USE.get(module.package, set()):
                offences.append(f"{module.path.relative_to(ROOT)}:{found.line} imports {found.module}")
    assert offences == []


def test_no_permission_is_left_over() -> None:
    there = {module.package for module in modules()}
    used = {
        (module.package, found.module.split(".")[0])
        for module in modules()
        for found in module.imports()
        if not _is_ours(found.module)
    }
    granted = {(package, library) for package in MAY_USE for library in MAY_USE[package] if package in there}

    assert granted <= used


@pytest.mark.parametrize(
    ("library", "packages"),
    [
        ("httpx", {"ollama"}),
        ("pydantic", {"ollama"}),
        ("qasync", {"loop"}),
        ("PySide6", {"loop", "ui", "app"}),
    ],
)
def test_a_switch_of_library_stays_cheap(library: str, packages: set[str]) -> None:
    assert {package for package, libraries in MAY_USE.items() if library in libraries} == packages


def test_every_library_in_use_is_a_declared_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    dependencies = [*project["dependencies"], *itertools.chain(*project["optional-dependencies"].values())]
    declared = {re.split(r"[^A-Za-z0-9_.-]", dependency)[0].lower() for dependency in dependencies}
    used = {DISTRIBUTIONS.get(library, library) for libraries in MAY_USE.values() for library in libraries}

    assert used <= declared


def test_the_domain_knows_neither_world_nor_clock() -> None:
    offences: list[str] = []
    for module in modules():
        if module.package != "domain":
            continue
        offences.extend(
            f"{module.path.relative_to(ROOT)}:{found.line} imports {found.module}"
            for found in module.imports()
            if found.module in NOT_IN_DOMAIN or found.module.split(".")[0] in NOT_IN_DOMAIN
        )
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Attribute) and node.attr in {"now", "utcnow", "today"}:
                offences.append(f"{module.where(node)} asks the clock")
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"open", "print"}:
                offences.append(f"{module.where(node)} calls {node.func.id}")
    assert offences == []


def test_the_window_waits_for_nothing() -> None:
    """Widgets render snapshots and emit wishes; only a dialog may be awaited, through its future."""
    offences = [
        f"{module.path.relative_to(ROOT)}:{found.line} imports {found.module}"
        for module in modules()
        if module.package == "ui" and module.name != "launcher.ui.dialogs"
        for found in module.imports()
        if found.module.split(".")[0] in {"asyncio", "concurrent", "subprocess", "socket", "threading"}
    ]
    assert offences == []


def test_there_are_no_import_cycles() -> None:
    graph = {
        module.name: sorted(
            {
                found.module
                for found in module.imports()
                if found.module in _names()
                and found.module not in (module.name, "launcher")
                and not found.for_types_only
            }
        )
        for module in modules()
    }
    assert _cycle(graph) is None


def _cycle(graph: dict[str, list[str]]) -> list[str] | None:
    """Find one cycle, as the path that closes it."""
    done: set[str] = set()

    def visit(name: str, path: list[str]) -> list[str] | None:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return None
        for imported in graph[name]:
            found = visit(imported, [*path, name])
            if found:
                return found
        done.add(name)
        return None

    for name in graph:
        found = visit(name, [])
        if found:
            return found
    return None


def test_a_cycle_would_be_found() -> None:
    assert _cycle({"a": ["b"], "b": ["c", "d"], "c": [], "d": ["b"]}) == ["b", "d", "b"]


def test_nobody_runs_a_nested_loop_or_a_shell() -> None:
    offences = []
    for module in modules():
        for node in ast.walk(module.tree):
            name = _called(node)
            if name == "exec" and module.name in RUNS_QT_ALONE:
                continue
            if name in {"exec", "exec_", "processEvents", "eval"}:
                offences.append(f"{module.where(node)} calls {name}()")
            if name in {"system", "popen", "getoutput", "create_subprocess_shell"}:
                offences.append(f"{module.where(node)} runs a shell: {name}()")
            if isinstance(node, ast.keyword) and node.arg == "shell" and ast.unparse(node.value) != "False":
                offences.append(f"{module.where(node.value)} runs a shell")
            if isinstance(node, ast.Name | ast.Attribute) and ast.unparse(node).split(".")[-1] in {
                "asyncSlot",
                "asyncClose",
            }:
                offences.append(f"{module.where(node)} uses {ast.unparse(node)}")
    assert offences == []


def _called(node: ast.AST) -> str:
    if not isinstance(node, ast.Call):
        return ""
    if isinstance(node.func, ast.Name):
        return node.func.id
    # platform.system() tells a name; os.system() runs a shell.
    if isinstance(node.func, ast.Attribute) and ast.unparse(node.func) != "platform.system":
        return node.func.attr
    return ""


def test_only_the_last_resorts_catch_everything() -> None:
    """What others catch blindly they pass on: a clean-up ends with ``raise``."""
    offences = [
        module.where(node)
        for module in modules()
        if module.package not in BLIND_CATCHES_ARE_FOR
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ExceptHandler) and _is_blind(node) and not _passes_on(node)
    ]
    assert offences == []


def _is_blind(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(ast.unparse(kind) in {"Exception", "BaseException"} for kind in kinds)


def _passes_on(handler: ast.ExceptHandler) -> bool:
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


@pytest.mark.parametrize("path", _files(), ids=lambda path: path.relative_to(HOUSE).as_posix())
def test_every_file_says_what_it_is_for(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))

    assert docstring, f"{path.name} has no docstring"
    assert len(docstring) > 20, f"the docstring of {path.name} says nothing"


@pytest.mark.parametrize(
    "arguments", [pytest.param(["status", "--help"], id="status --help"), pytest.param(["--help"], id="--help")]
)
def test_the_command_line_imports_no_qt(arguments: list[str]) -> None:
    program = (
        "import sys\n"
        "import launcher.core, launcher.cli.main\n"
        "from launcher.__main__ import main\n"
        f"sys.argv = ['ollama-launcher', *{arguments!r}]\n"
        "try:\n"
        "    code = main()\n"
        "except SystemExit as end:\n"
        "    code = end.code\n"
        "found = [n for n in sys.modules if n.split('.')[0] in ('PySide6', 'shiboken6', 'qasync', 'launcher.loop')]\n"
        "sys.exit(f'exit code {code}, imported {found}' if code or found else 0)\n"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)

    assert run.returncode == 0, run.stderr
    assert "Usage" in run.stdout


def test_importing_the_house_does_nothing() -> None:
    """No module starts a thread, opens a socket or writes a file when it is imported."""
    program = (
        "import sys, threading\n"
        "seen = []\n"
        "watched = {'socket.connect', 'socket.bind', 'subprocess.Popen', 'os.mkdir', 'os.remove', 'os.rename'}\n"
        "sys.addaudithook(lambda event, args: seen.append(event) if event in watched else None)\n"
        "sys.dont_write_bytecode = True\n"
        "import importlib\n"
        f"for name in {sorted(_names() - {'launcher.__main__', 'launcher.demo.__main__'})!r}:\n"
        "    importlib.import_module(name)\n"
        "sys.exit(str((seen, threading.enumerate())) if seen or threading.active_count() > 1 else 0)\n"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)

    assert run.returncode == 0, run.stderr
