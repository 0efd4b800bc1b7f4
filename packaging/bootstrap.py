"""Set-up from nothing: find a Python, make ``.venv``, install from the lock, then run the app or the tests.

Runs on any Python from 3.8 on with the standard library alone, because it runs before anything is installed; it must
not import the package it sets up. ``run.sh``, ``test.sh`` and their ``.ps1`` twins only find a Python for it.

All it says goes to stderr: stdout belongs to the program it starts (``run.sh status --json`` is piped into others).
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Callable, Iterable, Iterator, Mapping, NamedTuple, Sequence

ROOT = Path(__file__).resolve().parent.parent

OLDEST = (3, 11)
NEWEST = (3, 15)
# The best tried one first; the running Python, when it fits, comes before all of them.
PREFERRED = ((3, 13), (3, 12), (3, 11), (3, 14), (3, 15))

# Most tests wait for a process or a clock. A file stays together: its tests may share what is costly.
SIDE_BY_SIDE = ["-n", "3", "--dist", "loadfile"]
PYTEST_OPTIONS_OF_ONE_PROCESS = ("-n", "--numprocesses", "--dist", "-pno:xdist", "--pdb", "--trace", "-s")

# What a Python must bring along to make a virtual environment and to download. Debian splits ensurepip off, and a
# Python built without OpenSSL's headers lacks _ssl.
NEEDED_MODULES = ("venv", "ensurepip", "_ssl")

RUN_LOCK = "packaging/lock.txt"
TEST_LOCK = "packaging/lock-dev.txt"
# Each command's locks; the last one holds all the pins of those before it, so only that one is given to pip.
FOR_APP = (RUN_LOCK,)
FOR_TESTS = (RUN_LOCK, TEST_LOCK)

# How long a check that was told to stop may take to clean up.
CLEAN_UP_S = 15.0

STAMP = "launcher-setup.json"
UNFINISHED = "launcher-setup-unfinished"

# Settings of pip and Python that would send packages elsewhere than into our environment. Indexes, proxies and
# certificates are the user's affair and stay.
FOREIGN_VARIABLES = (
    "PYTHONHOME",
    "PYTHONPATH",
    "__PYVENV_LAUNCHER__",
    "PIP_USER",
    "PIP_TARGET",
    "PIP_PREFIX",
    "PIP_ROOT",
    "PIP_CONSTRAINT",
)

# The files of PySide6 whose system libraries are asked for: what we import, and what a window needs on X11 and Wayland.
QT_OBJECTS = (
    "QtCore*.so",
    "QtGui*.so",
    "QtWidgets*.so",
    "QtNetwork*.so",
    "QtDBus*.so",
    "QtSvg*.so",
    "QtTest*.so",
    "Qt/plugins/platforms/libqoffscreen.so",
    "Qt/plugins/platforms/libqxcb.so",
    "Qt/plugins/platforms/libqwayland*.so",
    "Qt/plugins/xcbglintegrations/*.so",
    "Qt/plugins/iconengines/*.so",
    "Qt/plugins/platforminputcontexts/libcompose*.so",
    "Qt/plugins/platforminputcontexts/libibus*.so",
    "Qt/plugins/wayland-shell-integration/libxdg-shell.so",
    "Qt/plugins/wayland-graphics-integration-client/libqt-plugin-wayland-egl.so",
    "Qt/plugins/wayland-decoration-client/*.so",
)

# Shared library -> (package of Debian and its likes, package of Fedora and its likes).
LIBRARY_PACKAGES = {
    "libEGL.so.1": ("libegl1", "libglvnd-egl"),
    "libGL.so.1": ("libgl1", "libglvnd-glx"),
    "libGLX.so.0": ("libglx0", "libglvnd-glx"),
    "libGLdispatch.so.0": ("libglvnd0", "libglvnd"),
    "libOpenGL.so.0": ("libopengl0", "libglvnd-opengl"),
    "libX11-xcb.so.1": ("libx11-xcb1", "libX11-xcb"),
    "libX11.so.6": ("libx11-6", "libX11"),
    "libXau.so.6": ("libxau6", "libXau"),
    "libXdmcp.so.6": ("libxdmcp6", "libXdmcp"),
    "libbrotlicommon.so.1": ("libbrotli1", "libbrotli"),
    "libbrotlidec.so.1": ("libbrotli1", "libbrotli"),
    "libdbus-1.so.3": ("libdbus-1-3", "dbus-libs"),
    "libdrm.so.2": ("libdrm2", "libdrm"),
    "libexpat.so.1": ("libexpat1", "expat"),
    "libfontconfig.so.1": ("libfontconfig1", "fontconfig"),
    "libfreetype.so.6": ("libfreetype6", "freetype"),
    "libglib-2.0.so.0": ("libglib2.0-0", "glib2"),
    "libgobject-2.0.so.0": ("libglib2.0-0", "glib2"),
    "libgssapi_krb5.so.2": ("libgssapi-krb5-2", "krb5-libs"),
    "libgthread-2.0.so.0": ("libglib2.0-0", "glib2"),
    "libpng16.so.16": ("libpng16-16", "libpng"),
    "libstdc++.so.6": ("libstdc++6", "libstdc++"),
    "libwayland-client.so.0": ("libwayland-client0", "libwayland-client"),
    "libwayland-cursor.so.0": ("libwayland-cursor0", "libwayland-cursor"),
    "libwayland-egl.so.1": ("libwayland-egl1", "libwayland-egl"),
    "libxcb-cursor.so.0": ("libxcb-cursor0", "xcb-util-cursor"),
    "libxcb-glx.so.0": ("libxcb-glx0", "libxcb"),
    "libxcb-icccm.so.4": ("libxcb-icccm4", "xcb-util-wm"),
    "libxcb-image.so.0": ("libxcb-image0", "xcb-util-image"),
    "libxcb-keysyms.so.1": ("libxcb-keysyms1", "xcb-util-keysyms"),
    "libxcb-randr.so.0": ("libxcb-randr0", "libxcb"),
    "libxcb-render-util.so.0": ("libxcb-render-util0", "xcb-util-renderutil"),
    "libxcb-render.so.0": ("libxcb-render0", "libxcb"),
    "libxcb-shape.so.0": ("libxcb-shape0", "libxcb"),
    "libxcb-shm.so.0": ("libxcb-shm0", "libxcb"),
    "libxcb-sync.so.1": ("libxcb-sync1", "libxcb"),
    "libxcb-util.so.1": ("libxcb-util1", "xcb-util"),
    "libxcb-xfixes.so.0": ("libxcb-xfixes0", "libxcb"),
    "libxcb-xinerama.so.0": ("libxcb-xinerama0", "libxcb"),
    "libxcb-xinput.so.0": ("libxcb-xinput0", "libxcb"),
    "libxcb-xkb.so.1": ("libxcb-xkb1", "libxcb"),
    "libxcb.so.1": ("libxcb1", "libxcb"),
    "libxkbcommon-x11.so.0": ("libxkbcommon-x11-0", "libxkbcommon-x11"),
    "libxkbcommon.so.0": ("libxkbcommon0", "libxkbcommon"),
    "libz.so.1": ("zlib1g", "zlib"),
    "libzstd.so.1": ("libzstd1", "libzstd"),
}


class Tool(NamedTuple):
    """One thing of the system that the tests need: a program, a file, or a font for a language."""

    kind: str
    name: str
    debian: str
    fedora: str


TEST_TOOLS = (
    Tool("program", "Xvfb", "xvfb", "xorg-x11-server-Xvfb"),
    Tool("program", "trayer", "trayer", "trayer"),
    Tool("program", "openbox", "openbox", "openbox"),
    Tool("program", "xdotool", "xdotool", "xdotool"),
    Tool("program", "dbus-run-session", "dbus", "dbus-daemon"),
    # Stand-in programs are run as nobody by an interpreter that nobody can execute.
    Tool("file", "/usr/bin/python3", "python3", "python3"),
    Tool("program", "fc-list", "fontconfig", "fontconfig"),
    Tool("font", "en", "fonts-dejavu-core", "dejavu-sans-fonts"),
    # Chinese, Japanese and Korean in 2 MB; Noto's would be 57.
    Tool("font", "zh-cn", "fonts-wqy-microhei", "wqy-microhei-fonts"),
    Tool("font", "ja", "fonts-wqy-microhei", "wqy-microhei-fonts"),
    Tool("font", "ko", "fonts-wqy-microhei", "wqy-microhei-fonts"),
)

# The app's options that are followed by a value: what comes next is no sub-command.
APP_OPTIONS_WITH_VALUE = ("--host", "--pull")
# With these the app answers in the terminal.
APP_OPTIONS_OF_TEXT = ("--help", "-h", "--version")

PROBE = """
import importlib.util, json, platform, struct, sys, sysconfig
print(json.dumps({
    "path": getattr(sys, "_base_executable", "") or sys.executable,
    "version": list(sys.version_info[:3]),
    "implementation": platform.python_implementation(),
    "bits": struct.calcsize("P") * 8,
    "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    "missing": [name for name in %r if importlib.util.find_spec(name) is None],
}))
""" % (NEEDED_MODULES,)  # noqa: UP031  # 3.8 runs this, and an f-string would need every brace twice


class SetupError(Exception):
    """What stops the set-up, in one sentence; ``hint`` says what to do."""

    def __init__(self, title: str, hint: str = "") -> None:
        super().__init__(title)
        self.title = title
        self.hint = hint


class Stopped(KeyboardInterrupt):
    """SIGTERM came: for us alone, where Ctrl-C comes for all programs of the terminal."""


class Python(NamedTuple):
    """One Python found on this machine."""

    path: str
    version: tuple[int, int, int]
    implementation: str
    bits: int
    free_threaded: bool
    missing: tuple[str, ...]

    @property
    def short_version(self) -> tuple[int, int]:
        return self.version[0], self.version[1]


class Options(NamedTuple):
    """Our own options; they come before the arguments that go through."""

    yes: bool
    python: tuple[int, int] | None
    passed: list[str]


class Family(NamedTuple):
    """How a family of Linux systems installs packages."""

    name: str
    install: tuple[str, ...]
    refresh: tuple[str, ...]
    column: int
    """Which of the two names in the package tables is its own."""


DEBIAN = Family(
    "Debian",
    ("apt-get", "install", "-y", "--no-install-recommends"),
    ("apt-get", "update"),
    0,
)
FEDORA = Family("Fedora", ("dnf", "install", "-y"), (), 1)


def say(text: str) -> None:
    """Print one line for people."""
    print(text, file=sys.stderr, flush=True)


# --- arguments ---------------------------------------------------------------------------------------------------


def parse_version(text: str) -> tuple[int, int]:
    """Read "3.12"; raise SetupError on anything that is no supported version."""
    match = re.match(r"^(\d+)\.(\d+)$", text)
    version = (int(match.group(1)), int(match.group(2))) if match else (0, 0)
    if not OLDEST <= version <= NEWEST:
        raise SetupError(
            f"{text!r} is not a Python this program runs on.",
            f"Name one from {dotted(OLDEST)} to {dotted(NEWEST)}, as in --python 3.12.",
        )
    return version


def parse_options(arguments: Sequence[str]) -> Options:
    """Take our own options from the front; the first argument that is not ours ends them, a ``--`` does too."""
    rest = list(arguments)
    yes = False
    python = None
    while rest:
        if rest[0] == "--yes":
            yes = True
            rest = rest[1:]
        elif rest[0] == "--python":
            python = parse_version(rest[1] if len(rest) > 1 else "")
            rest = rest[2:]
        elif rest[0].startswith("--python="):
            python = parse_version(rest[0].split("=", 1)[1])
            rest = rest[1:]
        elif rest[0] == "--":
            rest = rest[1:]
            break
        else:
            break
    return Options(yes, python, rest)


def wants_window(arguments: Sequence[str]) -> bool:
    """Tell whether the app, started with these, would open its window: no sub-command, no call for mere text."""
    value_follows = False
    for argument in arguments:
        if value_follows:
            value_follows = False
        elif argument in APP_OPTIONS_OF_TEXT or not argument.startswith("-"):
            return False
        else:
            value_follows = argument in APP_OPTIONS_WITH_VALUE
    return True


def no_display_sentence(environment: Mapping[str, str], platform: str) -> str:
    """Say that no window can open here; empty where one can."""
    if not platform.startswith("linux"):
        return ""
    if any(environment.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")):
        return ""
    return (
        "There is no display here, so no window can open; the command line does the same work: "
        "packaging/run.sh status, packaging/run.sh --help."
    )


# --- finding a Python --------------------------------------------------------------------------------------------


def dotted(version: Sequence[int]) -> str:
    return ".".join(str(part) for part in version)


def candidate_commands(environment: Mapping[str, str], platform: str) -> Iterator[list[str]]:
    """Yield commands that may start a Python, the likeliest first; most of them do not exist."""
    yield [sys.executable]
    for version in PREFERRED:
        name = "python" + dotted(version)
        if platform == "win32":
            yield ["py", "-" + dotted(version)]
            local = environment.get("LOCALAPPDATA")
            if local:
                yield [os.path.join(local, "Programs", "Python", name.replace(".", "").title(), "python.exe")]
        else:
            yield [name]
            for root in pyenv_roots(environment):
                for path in sorted(glob.glob(os.path.join(root, "versions", dotted(version) + ".*", "bin", "python3"))):
                    yield [path]
            yield ["/usr/bin/" + name]
            yield ["/usr/local/bin/" + name]
        if platform == "darwin":
            yield ["/opt/homebrew/bin/" + name]
            yield [f"/Library/Frameworks/Python.framework/Versions/{dotted(version)}/bin/python3"]
    yield ["python3"]
    yield ["python"]


def pyenv_roots(environment: Mapping[str, str]) -> list[str]:
    """Name the folders where pyenv may keep its versions: a shim on PATH answers only for those switched on."""
    shims = [folder for folder in environment.get("PATH", "").split(os.pathsep) if os.path.basename(folder) == "shims"]
    roots = [environment.get("PYENV_ROOT", ""), *map(os.path.dirname, shims)]
    if environment.get("HOME"):
        roots.append(os.path.join(environment["HOME"], ".pyenv"))
    return list(dict.fromkeys(filter(None, roots)))


def probe(command: Sequence[str]) -> Python | None:
    """Ask a Python what it is; None where the command starts none."""
    if not os.path.isabs(command[0]) and shutil.which(command[0]) is None:
        return None
    try:
        answer = subprocess.run(
            [*command, "-c", PROBE],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=child_environment(os.environ),
            timeout=30,
            check=False,
        )
        facts = json.loads(answer.stdout.decode("utf-8"))
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    major, minor, micro = facts["version"]
    return Python(
        path=facts["path"],
        version=(major, minor, micro),
        implementation=facts["implementation"],
        bits=facts["bits"],
        free_threaded=facts["free_threaded"],
        missing=tuple(facts["missing"]),
    )


def fits(python: Python, wanted: tuple[int, int] | None) -> bool:
    """Tell whether PySide6 and we run on it; what modules it lacks is another question."""
    if python.implementation != "CPython" or python.bits != 64 or python.free_threaded:
        return False
    if wanted is not None:
        return python.short_version == wanted
    return OLDEST <= python.short_version <= NEWEST


def choose_python(found: Iterable[Python], wanted: tuple[int, int] | None) -> tuple[Python | None, Python | None]:
    """Return the first that fits, and the first that would fit if it were complete. ``found`` is read no further."""
    incomplete = None
    for python in found:
        if not fits(python, wanted):
            continue
        if not python.missing:
            return python, incomplete
        incomplete = incomplete or python
    return None, incomplete


def find_pythons() -> Iterator[Python]:
    seen = set()
    for command in candidate_commands(os.environ, sys.platform):
        python = probe(command)
        if python is not None and python.path not in seen:
            seen.add(python.path)
            yield python


def no_python_error(wanted: tuple[int, int] | None, family: Family | None, platform: str) -> SetupError:
    what = "Python " + dotted(wanted) if wanted else f"Python from {dotted(OLDEST)} to {dotted(NEWEST)}"
    if platform == "win32":
        hint = "Install one: winget install Python.Python.3.13"
    elif platform == "darwin":
        hint = "Install one from python.org, or: brew install python@3.13"
    elif wanted is None and family is DEBIAN:
        hint = "Install one: apt-get install python3 python3-venv"
    elif family is FEDORA:
        hint = "Install one: dnf install python" + dotted(wanted or PREFERRED[0])
    else:
        hint = "Install one with your system's package manager or with pyenv."
    return SetupError(f"No complete {what} was found on this machine.", hint)


def venv_package(python: Python, family: Family | None) -> str:
    """Name the package that completes the system's own Python; empty where there is none to name."""
    if family is DEBIAN and python.path.startswith("/usr/bin/") and "_ssl" not in python.missing:
        return f"python{dotted(python.short_version)}-venv"
    return ""


def need_python(wanted: tuple[int, int] | None, consent: Callable[[str], bool]) -> Python:
    """Find a complete Python, completing Debian's own one by its package where that is all that is wrong."""
    python, incomplete = choose_python(find_pythons(), wanted)
    if python is not None:
        return python
    family = this_family()
    package = venv_package(incomplete, family) if incomplete else ""
    if incomplete is None or not package:
        raise no_python_error(wanted, family, sys.platform)
    say(f"{incomplete.path} cannot make a virtual environment: the package {package} is missing.")
    if family is None or not install_packages(family, [package], consent):
        raise SetupError(f"The set-up needs the package {package}.")
    completed = probe([incomplete.path])
    if completed is None or completed.missing:
        raise SetupError(f"{incomplete.path} is still incomplete after installing {package}.")
    return completed


# --- the system's packages ---------------------------------------------------------------------------------------


def parse_os_release(text: str) -> dict[str, str]:
    """Read os-release(5): shell-like assignments, quotes optional."""
    fields = {}
    for line in text.splitlines():
        name, separator, value = line.strip().partition("=")
        if separator and not name.startswith("#"):
            try:
                fields[name] = "".join(shlex.split(value))
            except ValueError:  # a quote that never ends
                fields[name] = value
    return fields


def family_of(os_release: Mapping[str, str]) -> Family | None:
    """Tell from os-release whether apt-get or dnf is at work; None for any other family."""
    names = [os_release.get("ID", ""), *os_release.get("ID_LIKE", "").split()]
    if any(name in ("debian", "ubuntu") for name in names):
        return DEBIAN
    if any(name in ("fedora", "rhel", "centos") for name in names):
        return FEDORA
    return None


def this_family() -> Family | None:
    # The order of os-release(5): what the administrator wrote comes before what the vendor ships.
    for path in (Path("/etc/os-release"), Path("/usr/lib/os-release")):
        if path.is_file():
            return family_of(parse_os_release(path.read_text(encoding="utf-8")))
    return None


def missing_from_ldd(output: str) -> list[str]:
    """Read the libraries that ldd did not find, without those that PySide6 itself would bring."""
    names = re.findall(r"^\s*(\S+) => not found", output, re.MULTILINE)
    return sorted({name for name in names if not name.startswith(("libQt6", "libpyside6", "libshiboken6"))})


def missing_qt_libraries(venv: Path) -> list[str]:
    """Name the shared libraries that Qt in this environment would not find."""
    objects: list[str] = []
    for pattern in QT_OBJECTS:
        objects += glob.glob(str(venv / "lib" / "python*" / "site-packages" / "PySide6" / pattern))
    if not objects or shutil.which("ldd") is None:
        return []
    answer = subprocess.run(
        ["ldd", *sorted(objects)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "LC_ALL": "C"},
        check=False,
    )
    return missing_from_ldd(answer.stdout.decode("utf-8", "replace"))


def packages_for(libraries: Iterable[str], family: Family) -> tuple[list[str], list[str]]:
    """Map libraries to this family's packages; return them and the libraries nobody has listed."""
    packages = set()
    unknown = []
    for library in libraries:
        if library in LIBRARY_PACKAGES:
            packages.add(LIBRARY_PACKAGES[library][family.column])
        elif family is FEDORA:
            packages.add(library + "()(64bit)")  # dnf installs by what a package provides
        else:
            unknown.append(library)
    return sorted(packages), unknown


def has_font(language: str) -> bool:
    if shutil.which("fc-list") is None:
        return False
    answer = subprocess.run(
        ["fc-list", ":lang=" + language, "family"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False
    )
    return bool(answer.stdout.strip())


def has_tool(tool: Tool) -> bool:
    if tool.kind == "program":
        return shutil.which(tool.name) is not None
    if tool.kind == "file":
        return os.path.exists(tool.name)
    return has_font(tool.name)


def missing_test_tools() -> list[Tool]:
    return [tool for tool in TEST_TOOLS if not has_tool(tool)]


def is_root() -> bool:
    return sys.platform != "win32" and os.geteuid() == 0


def install_packages(family: Family, packages: Sequence[str], consent: Callable[[str], bool]) -> bool:
    """Show the command, ask for consent, run it; tell whether the packages are there now."""
    prefix = [] if is_root() else ["sudo"]
    command = [*prefix, *family.install, *packages]
    say("    " + " ".join(shlex.quote(word) for word in command))
    if not consent("Install now?"):
        return False
    if shutil.which(command[0]) is None:
        say(f"{command[0]} is not there; please install them in your own way.")
        return False
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    if family.refresh:  # a bare image has no package lists at all; an old list names files that are gone
        subprocess.run([*prefix, *family.refresh], env=environment, stdout=sys.stderr, check=False)
    return subprocess.run(command, env=environment, check=False, stdout=sys.stderr).returncode == 0


def may_install(yes: bool, root: bool, terminal: bool, ask: Callable[[], bool]) -> bool:
    """Decide whether system packages may be installed: said in advance, or a machine of root's alone, or answered."""
    if yes or (root and not terminal):
        return True
    return terminal and ask()


def consent_for(yes: bool) -> Callable[[str], bool]:
    def consent(question: str) -> bool:
        def ask() -> bool:
            print(question + " [y/N] ", end="", file=sys.stderr, flush=True)
            return sys.stdin.readline().strip().lower() in ("y", "yes")

        return may_install(yes, is_root(), sys.stdin is not None and sys.stdin.isatty(), ask)

    return consent


def install_missing(libraries: Sequence[str], tools: Sequence[Tool], consent: Callable[[str], bool]) -> bool:
    """Name what the system lacks and install it with consent; tell whether all of it can be there now."""
    if libraries:
        say("Qt needs system libraries that are missing: {}.".format(", ".join(libraries)))
    if tools:
        say("The tests need: {}.".format(", ".join(describe(tool) for tool in tools)))
    family = this_family()
    if family is None:
        say("Please install them with your system's package manager.")
        return False
    packages, unknown = packages_for(libraries, family)
    packages = sorted({*packages, *((tool.debian, tool.fedora)[family.column] for tool in tools)})
    if unknown:
        say("No package is known for {}.".format(", ".join(unknown)))
    return (not packages or install_packages(family, packages, consent)) and not unknown


def describe(tool: Tool) -> str:
    return "a font for " + tool.name if tool.kind == "font" else tool.name


# --- the virtual environment -------------------------------------------------------------------------------------


def child_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Leave out what would send packages elsewhere or make a Python read another one's library."""
    return {name: value for name, value in environment.items() if name not in FOREIGN_VARIABLES}


def venv_folder(root: Path, wanted: tuple[int, int] | None) -> Path:
    """Return the place of the environment; each Python asked for by name has its own."""
    return root / (".venv" if wanted is None else ".venv-" + dotted(wanted))


def venv_program(venv: Path, name: str, platform: str) -> Path:
    if platform == "win32":
        return venv / "Scripts" / (name + ".exe")
    return venv / "bin" / name


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def expected_stamp(root: Path, venv: Path, locks: Sequence[str], platform: str = sys.platform) -> dict[str, str]:
    """Say what a finished environment was made from.

    The folder, because an environment does not survive a move; the interpreter behind its links, because a system
    upgrade may put another Python there; what was installed, by the hashes of the files that list it.
    """
    stamp = {
        "root": str(root),
        "interpreter": os.path.realpath(str(venv_program(venv, "python", platform))),
        "pyproject.toml": digest(root / "pyproject.toml"),
    }
    stamp.update({lock: digest(root / lock) for lock in locks})
    return stamp


def read_stamp(venv: Path) -> dict[str, object]:
    try:
        stamp = json.loads((venv / STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def write_stamp(venv: Path, stamp: Mapping[str, object]) -> None:
    temporary = venv / (STAMP + ".new")
    temporary.write_text(json.dumps(stamp, indent=1), encoding="utf-8")
    os.replace(str(temporary), str(venv / STAMP))


def is_finished(root: Path, venv: Path, locks: Sequence[str], platform: str = sys.platform) -> bool:
    """Tell whether this environment holds all of ``locks``; one that holds more is finished, too."""
    if not venv_program(venv, "python", platform).exists():
        return False
    stamp = read_stamp(venv)
    return all(stamp.get(name) == value for name, value in expected_stamp(root, venv, locks, platform).items())


def can_be_updated(root: Path, venv: Path, wanted: tuple[int, int] | None) -> bool:
    """Tell whether what lies there is a sound environment of a fitting Python, so that pip may go on in it."""
    if (venv / UNFINISHED).exists():
        return False
    program = venv_program(venv, "python", sys.platform)
    stamp = read_stamp(venv)
    if stamp and (stamp.get("root") != str(root) or stamp.get("interpreter") != os.path.realpath(str(program))):
        return False
    python = probe([str(program)]) if program.exists() else None
    if python is None or not fits(python, wanted):
        return False
    return (
        subprocess.run(
            [str(program), "-m", "pip", "--version"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
        ).returncode
        == 0
    )


@contextlib.contextmanager
def one_at_a_time(path: Path) -> Iterator[None]:
    """Hold the set-up's lock: two terminals on a fresh clone shall not fill one environment together."""
    with open(str(path), "w", encoding="utf-8") as stream:
        if not try_lock(stream.fileno()):
            say("Another set-up is under way; waiting for it.")
            while not try_lock(stream.fileno()):  # Windows has no lock that waits for ever
                time.sleep(0.5)
        yield


def try_lock(descriptor: int) -> bool:
    """Take the lock of an open file; it is given back when the file is closed, however that comes."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def pip_install(venv: Path, arguments: Sequence[str]) -> None:
    command = [str(venv_program(venv, "python", sys.platform)), "-m", "pip", "install", "--disable-pip-version-check"]
    command += ["--no-input", "--quiet", *arguments]
    environment = child_environment(os.environ)
    if subprocess.run(command, env=environment, stdout=sys.stderr, check=False).returncode != 0:
        raise SetupError(
            "The Python packages could not be installed; pip's own words are above.",
            "The first set-up needs the network. Run the command again once it is there.",
        )


def set_up(wanted: tuple[int, int] | None, locks: Sequence[str], consent: Callable[[str], bool]) -> tuple[Path, bool]:
    """Make the environment hold ``locks`` and the project; return its folder, and whether anything was done."""
    venv = venv_folder(ROOT, wanted)
    if is_finished(ROOT, venv, locks):
        return venv, False
    with one_at_a_time(ROOT / (venv.name + ".lock")):
        if is_finished(ROOT, venv, locks):
            return venv, False
        if not can_be_updated(ROOT, venv, wanted):
            make_venv(venv, need_python(wanted, consent))
        say(f"Installing Python packages into {venv.name} (some 85 MB the first time).")
        pip_install(venv, ["--require-hashes", "--only-binary=:all:", "-r", str(ROOT / locks[-1])])
        # The build back-end comes from the lock, so this last step needs no network.
        pip_install(venv, ["--no-index", "--no-deps", "--no-build-isolation", "--editable", str(ROOT)])
        write_stamp(venv, expected_stamp(ROOT, venv, locks))
        with contextlib.suppress(FileNotFoundError):
            (venv / UNFINISHED).unlink()
    return venv, True


def make_venv(venv: Path, python: Python) -> None:
    if venv.is_symlink():
        # --clear empties what the link leads to, which somebody keeps there for a reason.
        raise SetupError(
            f"{venv} is a link to {os.path.realpath(str(venv))}, which is not emptied.",
            "Remove the link and start again, or make a folder of that name.",
        )
    say(f"Making {venv.name} with Python {dotted(python.version)} ({python.path}).")
    command = [python.path, "-m", "venv", "--clear", str(venv)]
    if subprocess.run(command, env=child_environment(os.environ), stdout=sys.stderr, check=False).returncode != 0:
        raise SetupError(f"The virtual environment {venv.name} could not be made.")
    (venv / UNFINISHED).write_text("pip may have stopped half-way\n", encoding="utf-8")


# --- commands ----------------------------------------------------------------------------------------------------


def need_system(venv: Path, with_tests: bool, consent: Callable[[str], bool]) -> bool:
    """See to the system's libraries (and what the tests need); tell whether nothing is missing."""
    if not sys.platform.startswith("linux"):
        return True
    stamp = read_stamp(venv)
    libraries = [] if stamp.get("libraries_complete") else missing_qt_libraries(venv)
    tools = missing_test_tools() if with_tests else []
    if (libraries or tools) and install_missing(libraries, tools, consent):
        libraries = missing_qt_libraries(venv)
        tools = missing_test_tools() if with_tests else []
    if not libraries and not stamp.get("libraries_complete"):
        with contextlib.suppress(OSError):  # a finished environment may be read-only
            write_stamp(venv, {**stamp, "libraries_complete": True})
    return not libraries and not tools


def run(arguments: Sequence[str]) -> int:
    """Start the app; its arguments go through. ``--install`` and ``--uninstall`` alone change the menu instead."""
    options = parse_options(arguments)
    consent = consent_for(options.yes)
    wish = options.passed[0].lower() if len(options.passed) == 1 else ""
    if wish in ("--uninstall", "-uninstall"):
        return change_menu(None)
    venv, anything_done = set_up(options.python, FOR_APP, consent)
    if wish in ("--install", "-install"):
        need_system(venv, False, consent)
        return change_menu(venv_program(venv, "ollama-launcher-window", sys.platform))
    window = wants_window(options.passed)
    # The command line works without Qt: it is not held up again by a question answered "no" at the first set-up.
    if anything_done or window:
        need_system(venv, False, consent)
    if window:
        sentence = no_display_sentence(os.environ, sys.platform)
        if sentence:
            say(sentence)
    return become([str(venv_program(venv, "ollama-launcher", sys.platform)), *options.passed])


def change_menu(window: Path | None) -> int:
    """Put the window's program into the person's menu; None takes it out."""
    import menu

    try:
        files = menu.uninstall(os.environ) if window is None else menu.install(window, os.environ)
    except menu.MenuError as error:
        raise SetupError(str(error), error.hint) from error
    for path in files:
        say(f"{'Removed' if window is None else 'Written'}: {path}")
    if not files:
        say("There was no menu entry of this program.")
    return 0


def become(command: Sequence[str]) -> int:
    """Put the command in our own place, so that signals and the terminal reach it and nobody else."""
    sys.stdout.flush()
    if sys.platform != "win32":  # exec there starts a second process and lets the shell go on at once
        os.execv(command[0], list(command))  # noqa: S606  # without a shell is what is meant
    return subprocess.run(list(command), check=False).returncode


def checks(python: str, environment: Mapping[str, str], pytest_arguments: Sequence[str]) -> list[list[str]]:
    """List the commands of the whole test run, the quick ones first."""
    # Whether imports are sorted depends on which other files exist, which ruff's cache does not know.
    commands = [[python, "-m", "ruff", "check", "--no-cache", "."], [python, "-m", "ruff", "format", "--check", "."]]
    for platform in ("linux", "win32", "darwin"):
        cache = ".mypy_cache/" + platform  # one for all would be emptied by each change of platform
        mypy = [python, "-m", "mypy", "--strict", "--platform", platform, "--cache-dir", cache]
        commands.append([*mypy, "launcher", "packaging/bootstrap.py"])
    strictness = ["-p", "tests.support.no_skips"] if environment.get("CI", "").lower() in ("1", "true", "yes") else []
    spread = SIDE_BY_SIDE if is_for_all_tests(pytest_arguments) else []
    commands.append([python, "-m", "pytest", *strictness, *spread, *pytest_arguments])
    return commands


def is_for_all_tests(pytest_arguments: Sequence[str]) -> bool:
    """Tell whether no test or folder is named and nothing is said of workers, or of a debugger, which needs none."""
    for argument in pytest_arguments:
        if argument.startswith(PYTEST_OPTIONS_OF_ONE_PROCESS) or argument == "no:xdist":
            return False
        if not argument.startswith("-") and (ROOT / argument.split("::")[0]).exists():
            return False
    return True


def stop(_signal: int, _frame: object) -> None:
    """Be the handler of SIGTERM."""
    raise Stopped


def attend(command: Sequence[str]) -> int:
    """Run one check in the project's folder to its end; when we are stopped, let it clean up first.

    Ctrl-C reaches it by the terminal; SIGTERM does not, so it is told by us.
    """
    process = subprocess.Popen(list(command), cwd=str(ROOT))
    try:
        return process.wait()
    except KeyboardInterrupt as wish:
        if isinstance(wish, Stopped) and sys.platform != "win32":
            process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(CLEAN_UP_S)
        process.kill()
        raise


def test(arguments: Sequence[str]) -> int:
    """Run every check and all tests; arguments go through to pytest. A failed check does not hold up the next."""
    options = parse_options(arguments)
    consent = consent_for(options.yes or is_root())
    venv, _ = set_up(options.python, FOR_TESTS, consent)
    if not need_system(venv, True, consent):
        if is_root():
            raise SetupError("What the tests need from the system could not be installed.")
        say("Going on; tests that need what is missing will say so.")
    python = str(venv_program(venv, "python", sys.platform))
    signal.signal(signal.SIGTERM, stop)
    failed = []
    for command in checks(python, os.environ, options.passed):
        title = " ".join(shlex.quote(word) for word in command[2:])
        say("== " + title)
        if attend(command) != 0:
            failed.append(title)
    for title in failed:
        say("failed: " + title)
    return 1 if failed else 0


def lock(arguments: Sequence[str]) -> int:
    """Write the lock files anew from pyproject.toml, over the network; ``--upgrade`` takes the newest of everything."""
    with tempfile.TemporaryDirectory() as folder:
        tools = Path(folder) / "venv"
        make_venv(tools, need_python(None, consent_for(False)))
        pip_install(tools, ["uv"])
        common = [str(venv_program(tools, "uv", sys.platform)), "pip", "compile", "pyproject.toml", "--quiet"]
        common += ["--universal", "--python-version", dotted(OLDEST), "--generate-hashes"]
        common += ["--no-emit-index-url", "--no-emit-find-links"]
        common += ["--custom-compile-command", "python packaging/bootstrap.py lock", *arguments]
        for command in (
            [*common, "--group", "build", "--output-file", RUN_LOCK],
            [*common, "--group", "dev", "--constraints", RUN_LOCK, "--output-file", TEST_LOCK],
        ):
            if subprocess.run(command, cwd=str(ROOT), stdout=sys.stderr, check=False).returncode != 0:
                raise SetupError("uv could not solve the requirements; its own words are above.")
    return 0


COMMANDS = {"run": run, "test": test, "lock": lock}


def main(arguments: Sequence[str]) -> int:
    if not arguments or arguments[0] not in COMMANDS:
        say("usage: bootstrap.py {run|test} [--yes] [--python 3.X] [arguments ...]  |  bootstrap.py lock [--upgrade]")
        return 2
    try:
        return COMMANDS[arguments[0]](arguments[1:])
    except SetupError as problem:
        say(problem.title)
        if problem.hint:
            say(problem.hint)
        return 1
    except OSError as problem:  # a full disk, a checkout that may not be written to
        say(f"The set-up cannot go on: {problem}.")
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
