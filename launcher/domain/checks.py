"""What there is to examine, and what follows from what was found: facts in, one sentence and a next step out.

Each ``judge_…`` is pure and takes the facts of one check; None as an answer means that the check makes no sense now
(nobody answers whose version could be told). How the facts are found is :mod:`launcher.actions.examine`'s.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from ipaddress import ip_address, ip_network

from launcher.domain.address import Address
from launcher.domain.models import LoadedModel
from launcher.domain.server import ANSWERING, Owner, ServerState, ServerStatus
from launcher.domain.units import format_bytes

MADE_FOR = (0, 33)
"""The Ollama that the launcher was tried with."""
SLOW_MS = 500.0
SCARCE_BYTES = 5_000_000_000
"""Less than a common model needs."""
FULL_BYTES = 200_000_000
SCARCE_STATE_BYTES = 50_000_000
PRUNED_AFTER_S = 3600.0
"""A starting server removes unfinished downloads that are older (server/images.go, 0.33)."""

RUNS_WITHIN_S = 30.0
"""A download that has written so lately goes on: a stalled part is begun again after as long (server/download.go)."""
INTEL = "an Intel card"

# Ollama leaves these out by itself, so that nothing is wrong where it does not use them.
_INTEGRATED = frozenset({INTEL})
_INSTALL = "Install Ollama from https://ollama.com/download, or name its program in the settings."
_NUMBERS = re.compile(r"v?(\d+)\.(\d+)(?:\.(\d+))?")


class Verdict(Enum):
    """How it is, from best to worst; UNKNOWN: it could not be found out."""

    OK = "ok"
    NOTE = "note"
    """Nothing is wrong, but it is good to know."""
    WARNING = "warning"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the examination."""

    id: str
    verdict: Verdict
    title: str
    """One sentence."""
    detail: str = ""
    """What else was found; empty when there is no more."""
    hint: str = ""
    """What to do about it; empty when there is nothing to do."""
    command: tuple[str, ...] = ()
    """The launcher's own command that does what the hint says, e.g. ``("start",)``."""


@dataclass(frozen=True, slots=True)
class Subject:
    """One thing that is examined."""

    id: str
    label: str
    elsewhere: bool
    """Whether it can be examined of a server on another computer."""


SUBJECTS = (
    Subject("engine", "Program", elsewhere=False),
    Subject("version", "Version", elsewhere=True),
    Subject("server", "Server", elsewhere=True),
    Subject("owner", "Owner", elsewhere=True),
    Subject("port", "Port", elsewhere=False),
    Subject("models", "Models folder", elsewhere=False),
    Subject("downloads", "Downloads", elsewhere=False),
    Subject("space", "Disk space", elsewhere=False),
    Subject("gpu", "Graphics card", elsewhere=True),
    Subject("proxy", "Proxy", elsewhere=True),
    Subject("exposure", "Network", elsewhere=False),
    Subject("key", "Key", elsewhere=False),
    Subject("state", "Launcher", elsewhere=True),
    Subject("variables", "Variables", elsewhere=False),
)
LABELS = {subject.id: subject.label for subject in SUBJECTS}


def hung(subject_id: str, limit_s: float) -> Check:
    """What is said of a check that did not come to an end."""
    return Check(
        subject_id,
        Verdict.UNKNOWN,
        f"This could not be found out within {limit_s:g} s.",
        hint="A drive or a program may not answer: look again later.",
    )


def broken(subject_id: str, detail: str) -> Check:
    """What is said of a check that could not be made."""
    return Check(subject_id, Verdict.UNKNOWN, "This could not be found out.", detail=detail)


# --- the program and its version --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Engine:
    """The ``ollama`` program that would be started."""

    path: str | None
    found_in: str = ""
    """In words: ``PATH``, ``the setting``."""
    version: str | None = None
    error: str = ""
    """One sentence: why the one that was named cannot be used."""
    hint: str = ""


def judge_engine(engine: Engine, status: ServerStatus) -> Check:
    if engine.error:
        return Check("engine", Verdict.FAILED, engine.error, hint=engine.hint)
    if engine.path is None:
        if status.state in ANSWERING:
            return Check(
                "engine",
                Verdict.NOTE,
                "No ollama program was found here, so that none can be started; one from elsewhere answers.",
                hint=_INSTALL,
            )
        return Check("engine", Verdict.FAILED, "Ollama is not installed.", hint=_INSTALL)
    if engine.version is None:
        return Check(
            "engine",
            Verdict.WARNING,
            f"The program {engine.path} does not tell its version, as Ollama does.",
            detail=f"found in {engine.found_in}",
            hint=f"Try “{engine.path} --version” in a terminal; where that fails, install Ollama again.",
        )
    return Check(
        "engine",
        Verdict.OK,
        f"Ollama {engine.version} is installed: {engine.path}.",
        detail=f"found in {engine.found_in}",
    )


def judge_version(status: ServerStatus, installed: str | None) -> Check | None:
    """Compare what answers with what is installed (None: not known, or of no meaning)."""
    version = status.version
    if version is None:
        return None
    if status.simulated:
        return Check("version", Verdict.NOTE, f"The server that answers is simulated, as Ollama {version}.")
    told = f"The server is Ollama {version}"
    numbers = _numbers(version)
    if numbers is None or not any(numbers):
        return Check("version", Verdict.NOTE, f"{told}, a build of one's own.")
    if installed is not None and installed != version and status.local:
        ours = status.owner is Owner.OURS
        return Check(
            "version",
            Verdict.WARNING if ours else Verdict.NOTE,
            f"{told}, but {installed} is installed.",
            detail="Its helper programs may have been replaced while it runs." if ours else "",
            hint="Restart it" if ours else "Restart it the way it was started, if it is to be the installed one.",
            command=("restart",) if ours else (),
        )
    if numbers[:2] < MADE_FOR:
        return Check(
            "version",
            Verdict.NOTE,
            f"{told}, older than {_dotted(MADE_FOR)}, which the launcher was made for.",
            hint="Update Ollama if something does not work: https://ollama.com/download.",
        )
    return Check("version", Verdict.OK, f"{told}.")


def _numbers(version: str) -> tuple[int, ...] | None:
    found = _NUMBERS.match(version)
    return None if found is None else tuple(int(part or 0) for part in found.groups())


def _dotted(numbers: Sequence[int]) -> str:
    return ".".join(map(str, numbers))


# --- the server -------------------------------------------------------------------------------------------------------


def judge_server(status: ServerStatus, latency_ms: float | None) -> Check:
    """``latency_ms``: how long the answer to ``/api/version`` took; None where there was none."""
    address = status.address
    match status.state:
        case ServerState.RUNNING:
            taken = "" if latency_ms is None else f" within {latency_ms:.0f} ms"
            if latency_ms is not None and latency_ms > SLOW_MS:
                return Check(
                    "server",
                    Verdict.NOTE,
                    f"Ollama answers at {address}, but slowly:{taken}.",
                    hint="The computer or the network may be busy: look again later.",
                )
            return Check("server", Verdict.OK, f"Ollama answers at {address}{taken}.")
        case ServerState.DEGRADED:
            ours = status.owner is Owner.OURS
            return Check(
                "server",
                Verdict.FAILED,
                f"Ollama is there at {address} but does not answer.",
                detail=status.reason,
                hint="It may be very busy. If it stays like this, restart it" + ("" if ours else "."),
                command=("restart",) if ours else (),
            )
        case ServerState.STARTING | ServerState.STOPPING:
            return Check("server", Verdict.NOTE, status.reason or f"Ollama is {status.state.value} at {address}.")
        case ServerState.STOPPED:
            return Check(
                "server",
                Verdict.WARNING,
                f"Ollama is not running at {address}.",
                detail=status.reason,
                hint=status.hint or "Start it",
                command=() if status.hint else ("start",),
            )
        case ServerState.NOT_INSTALLED:
            return Check("server", Verdict.WARNING, f"Ollama is not running at {address}.", hint="Install it first.")
        case ServerState.FAILED | ServerState.BACKOFF:
            return Check(
                "server",
                Verdict.FAILED,
                f"Ollama does not run at {address}: {status.reason or 'it has ended by itself.'}",
                hint=status.hint or "See what it wrote",
                command=() if status.hint else ("logs",),
            )
        case ServerState.PORT_TAKEN:
            return Check(
                "server", Verdict.FAILED, f"Something else than Ollama answers at {address}.", detail=status.reason
            )
        case ServerState.UNREACHABLE:
            return Check(
                "server",
                Verdict.FAILED,
                status.reason or f"No Ollama answers at {address}.",
                hint=status.hint
                or "Check the address, and whether Ollama runs there and listens to other computers (OLLAMA_HOST).",
            )
        case ServerState.CHECKING:
            return Check("server", Verdict.UNKNOWN, f"Whether Ollama runs at {address} could not be found out.")


@dataclass(frozen=True, slots=True)
class Ownership:
    """Whose server it is, as the process table tells it."""

    owner: Owner
    unit: str = ""
    """The name of the service, e.g. ``ollama.service``."""
    user: str | None = None
    pid: int | None = None
    same_user: bool = True
    """Whether it runs as the user that asks."""


_NOT_OURS = {
    Owner.SYSTEM_SERVICE: (
        "The server is a service of the system{unit}{user}.",
        "The launcher uses it and leaves it alone. To stop it: sudo systemctl stop {name}",
    ),
    Owner.USER_SERVICE: (
        "The server is a service of yours{unit}.",
        "The launcher uses it and leaves it alone. To stop it: systemctl --user stop {name}",
    ),
    Owner.OFFICIAL_APP: (
        "The server belongs to the Ollama app.",
        "The launcher uses it and leaves it alone. To stop it, quit that app.",
    ),
    Owner.CONTAINER: (
        "The server runs in a container.",
        "The launcher uses it and leaves it alone. To stop it, stop the container, e.g. docker stop ollama",
    ),
    Owner.OTHER_USER: (
        "The server was started by another user{user}.",
        "The launcher uses it and leaves it alone.",
    ),
    Owner.REMOTE: (
        "The server is on another computer, so that it cannot be started or stopped from here.",
        "",
    ),
}


def judge_owner(status: ServerStatus, ownership: Ownership | None) -> Check | None:
    """Say whose it is and what can be done with it; ``ownership`` None: the process table does not tell."""
    if status.state not in ANSWERING and status.owner is not Owner.OURS:
        return None
    process = _process(status.pid if ownership is None else ownership.pid or status.pid)
    if status.owner is Owner.OURS:
        return Check(
            "owner",
            Verdict.OK,
            f"The launcher has started the server{process}.",
            detail="It can be stopped and restarted from here.",
        )
    owner = Owner.REMOTE if not status.local else ownership.owner if ownership is not None else Owner.UNKNOWN
    title, hint = _NOT_OURS.get(
        owner,
        (
            "The server was not started by the launcher.",
            "The launcher uses it and leaves it alone. To stop it, end it the way it was started.",
        ),
    )
    unit = ownership.unit if ownership is not None else ""
    parts = {
        "unit": f" ({unit})" if unit else "",
        "user": f" ({ownership.user})" if ownership is not None and ownership.user else "",
        "name": unit.removesuffix(".service") or "ollama",
    }
    return Check("owner", Verdict.NOTE, title.format(**parts), detail=process.strip(" ()"), hint=hint.format(**parts))


def _process(pid: int | None) -> str:
    return "" if pid is None else f" (process {pid})"


def judge_port(status: ServerStatus, port: int, holder: str, *, may_bind_low: bool = True, warning: str = "") -> Check:
    """``holder`` says in one sentence who listens there; empty: nobody does.

    ``warning`` says what of the wished address the server will not do.
    """
    if warning:
        return Check("port", Verdict.WARNING, warning, hint="Use an address like 127.0.0.1:11434.")
    if port == 0:
        return Check(
            "port",
            Verdict.FAILED,
            "Port 0 is no place: nobody could know where the server is.",
            hint="Use an address like 127.0.0.1:11434.",
        )
    if status.state is ServerState.PORT_TAKEN:
        return Check(
            "port",
            Verdict.FAILED,
            holder or status.reason or f"Port {port} is used by another program.",
            hint="Stop that program, or let Ollama use another port",
            command=("start", "--host", f"127.0.0.1:{port + 1 if port < 65535 else port - 1}"),
        )
    if status.state in ANSWERING or status.state in (ServerState.STARTING, ServerState.STOPPING):
        return Check("port", Verdict.OK, f"Port {port} is used by the server itself.")
    if holder:
        return Check("port", Verdict.WARNING, holder, hint="Look again: who it is was not yet clear.")
    if port < 1024 and not may_bind_low:
        return Check(
            "port",
            Verdict.WARNING,
            f"Port {port} is free, but the system may allow it to administrators only.",
            hint="Use a port above 1023; without a port in an http:// address it is 80.",
        )
    return Check("port", Verdict.OK, f"Port {port} is free.")


def judge_exposure(status: ServerStatus, bound: Sequence[str], *, origins: str, would_be: bool) -> Check | None:
    """Say who can reach the server. ``bound``: the addresses that it listens at, where they are known.

    ``would_be``: whether a server that is started now would be reached; ``origins``: OLLAMA_ORIGINS of such a one.
    """
    there = status.state in ANSWERING
    open_to_all = [address for address in bound if not _is_loopback(address)]
    exposed = bool(open_to_all) if bound and there else status.exposed
    any_site = "*" in [origin.strip() for origin in origins.split(",")]
    sites = "Any website may use it, as OLLAMA_ORIGINS says." if any_site else ""
    where = f"It listens at {', '.join(dict.fromkeys(bound))}." if bound and there else ""
    detail = " ".join(part for part in (where, sites) if part)
    if exposed if there else would_be:
        title = "The server can be reached from other computers, and asks nobody for a password."
        if not there:
            title = (
                "A server that is started now could be reached from other computers, and asks nobody for a password."
            )
        return Check(
            "exposure",
            Verdict.WARNING,
            title,
            detail=detail,
            hint="If that is not meant, let it listen at 127.0.0.1 only (the address of the settings, or OLLAMA_HOST), "
            "or close its port to others in a firewall.",
        )
    if there and exposed is None:
        return Check(
            "exposure", Verdict.UNKNOWN, "Whether other computers can reach the server is not known.", detail=detail
        )
    if any_site:
        return Check(
            "exposure",
            Verdict.WARNING,
            "Any website that is open in a browser here may use the server.",
            detail="OLLAMA_ORIGINS is *",
            hint="Name the websites that may, or take OLLAMA_ORIGINS away.",
        )
    return Check("exposure", Verdict.OK, "Only this computer can reach the server.", detail=detail)


def _is_loopback(address: str) -> bool:
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return (getattr(ip, "ipv4_mapped", None) or ip).is_loopback


# --- the models -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ModelsFolder:
    """A models folder as it lies on the disk."""

    path: str | None
    """None: not known."""
    exists: bool = False
    is_folder: bool = False
    readable: bool = False
    writable: bool = False
    can_be_made: bool = False
    models: int | None = None
    """How many are in it; None: it may not be looked into."""
    users: tuple[str, ...] = ()
    """The live servers that use it, each in words."""
    trouble: str = ""
    """Why it is not known."""


def judge_models(folder: ModelsFolder, *, used_by_other: bool) -> Check:
    """``used_by_other``: the server that answers runs as another user, so that our rights do not matter."""
    path = folder.path
    if path is None:
        return Check(
            "models",
            Verdict.UNKNOWN,
            folder.trouble or "Where this server keeps its models is not known.",
            hint="Set HOME, or name the folder in OLLAMA_MODELS." if folder.trouble else "",
        )
    if len(folder.users) > 1:
        return Check(
            "models",
            Verdict.WARNING,
            f"{len(folder.users)} servers use the models folder {path}: they delete each other's files.",
            detail=", ".join(folder.users),
            hint="Stop all but one, or give each a folder of its own by OLLAMA_MODELS.",
        )
    used = f"used by {folder.users[0]}" if folder.users else ""
    count = "" if folder.models is None else f" holds {_count(folder.models, 'model')}"
    if used_by_other:
        return Check(
            "models",
            Verdict.OK,
            f"The server keeps its models in {path}, unless it was told otherwise where it is started.",
            detail=f"It{count}."
            if folder.exists and folder.readable and count
            else "Only its own user may look there.",
        )
    if not folder.exists:
        if folder.can_be_made:
            return Check("models", Verdict.OK, f"The models folder {path} is made when the server first starts.")
        return Check(
            "models",
            Verdict.FAILED,
            f"The models folder {path} does not exist and cannot be made.",
            hint="Connect its drive, or name another folder in OLLAMA_MODELS.",
        )
    if not folder.is_folder:
        return Check(
            "models",
            Verdict.FAILED,
            f"{path} is not a folder, so no models can be kept there.",
            hint="Name another folder in OLLAMA_MODELS.",
        )
    if not (folder.readable and folder.writable):
        return Check(
            "models",
            Verdict.FAILED,
            f"You may not {'write to' if folder.readable else 'look into'} the models folder {path}.",
            detail=used,
            hint="Give it to your user, or name another folder in OLLAMA_MODELS.",
        )
    return Check("models", Verdict.OK, f"The models folder {path}{count or ' is there'}.", detail=used)


@dataclass(frozen=True, slots=True)
class Unfinished:
    """What is on the disk of one download that has not come to its end."""

    digest: str
    completed_bytes: int
    total_bytes: int
    on_disk_bytes: int
    age_s: float
    """Since its newest file was written."""
    damaged: bool
    """It can never go on as it is."""


def judge_downloads(downloads: Sequence[Unfinished], status: ServerStatus) -> Check:
    if not downloads:
        return Check("downloads", Verdict.OK, "No download is unfinished.")
    running = status.state in ANSWERING and all(download.age_s < RUNS_WITHIN_S for download in downloads)
    held = sum(download.on_disk_bytes for download in downloads)
    completed = sum(download.completed_bytes for download in downloads)
    total = sum(download.total_bytes for download in downloads)
    title = f"{_count(len(downloads), 'unfinished download')} {_verb(downloads)} {format_bytes(held)} of the disk."
    detail = f"{format_bytes(completed)} of {format_bytes(total)} is there."
    if running:
        return Check(
            "downloads",
            Verdict.OK,
            f"{_count(len(downloads), 'file')} of models {_are(downloads)} being downloaded.",
            detail,
        )
    damaged = [download for download in downloads if download.damaged]
    foreign = status.state in ANSWERING and status.owner is not Owner.OURS
    if damaged and status.state in ANSWERING:
        return Check(
            "downloads",
            Verdict.WARNING,
            title,
            detail=f"{detail} {_count(len(damaged), 'file')} of the server's own notes on them "
            f"{'is' if len(damaged) == 1 else 'are'} damaged, so that downloading it again ends with “EOF”.",
            hint="Stop the server and start it from the launcher, which puts that right."
            if foreign
            else "Restart the server, which puts that right",
            command=() if foreign else ("restart",),
        )
    if not foreign and all(download.age_s < PRUNED_AFTER_S for download in downloads):
        return Check("downloads", Verdict.NOTE, title, detail=detail, hint="Download the same model again to go on.")
    return Check(
        "downloads",
        Verdict.NOTE,
        title,
        detail=detail,
        hint="Download the same model again to go on. "
        "A server that is not started by the launcher removes what is older than an hour when it starts.",
    )


def _verb(downloads: Sequence[object]) -> str:
    return "holds" if len(downloads) == 1 else "hold"


def _are(things: Sequence[object]) -> str:
    return "is" if len(things) == 1 else "are"


def judge_space(path: str, free_bytes: int, total_bytes: int, needed_bytes: int) -> Check:
    """``needed_bytes``: what the unfinished downloads still need."""
    told = f"{format_bytes(free_bytes)} of {format_bytes(total_bytes)} is free"
    title = f"{told} where the models are."
    hint = "Remove models that you do not need"
    command = ("models", "rm", "NAME")
    if free_bytes < FULL_BYTES:
        return Check(
            "space", Verdict.FAILED, f"The disk of the models is full: {told}.", path, hint=hint, command=command
        )
    if free_bytes < needed_bytes:
        detail = f"{path}: the unfinished downloads need {format_bytes(needed_bytes)} more."
        return Check("space", Verdict.WARNING, title, detail, hint, command)
    if free_bytes < SCARCE_BYTES:
        return Check("space", Verdict.WARNING, title, f"{path}: many models are larger than that.", hint, command)
    return Check("space", Verdict.OK, title, path)


# --- the graphics card ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ComputeDevice:
    """What the server found to compute on, as it logs it (``inference compute``, discover/types.go, 0.33)."""

    library: str
    """``CUDA``, ``ROCm``, ``Vulkan``, ``Metal``; ``cpu`` where there is nothing better."""
    name: str
    total: str = ""
    """Its memory as the server writes it, e.g. ``23.5 GiB``."""

    @property
    def is_gpu(self) -> bool:
        return self.library.lower() != "cpu"


@dataclass(frozen=True, slots=True)
class Graphics:
    """What is known of graphics cards."""

    found: tuple[ComputeDevice, ...] | None = None
    """By the server, from its log; None: its log is not ours to read."""
    loaded: tuple[LoadedModel, ...] | None = None
    """The models in memory; None: not known."""
    cards: tuple[str, ...] = ()
    """Names of what the system shows."""
    hidden_by: tuple[str, ...] = ()
    """Variables that keep cards from the server."""
    closed: str = ""
    """A device file of a card that we may not open."""


def judge_gpu(graphics: Graphics, *, local: bool) -> Check | None:
    loaded = [model for model in graphics.loaded or () if model.size_bytes > 0]
    on_card = sum(min(model.size_vram_bytes, model.size_bytes) for model in loaded)
    share = round(100 * on_card / sum(model.size_bytes for model in loaded)) if loaded else None
    split = "" if share is None else f"Of what is loaded now, {share} % is on the graphics card."
    gpus = [device for device in graphics.found or () if device.is_gpu]
    if gpus:
        names = ", ".join(_device(device) for device in gpus)
        if share == 0:
            return Check(
                "gpu",
                Verdict.WARNING,
                f"The server found {names}, but what is loaded runs on the processor.",
                hint="The model may be too large for the card, or set to run on the processor (num_gpu).",
            )
        return Check("gpu", Verdict.OK, f"The server computes on {names}.", detail=split)
    if graphics.found is None and share:
        return Check("gpu", Verdict.OK, f"The server uses a graphics card. {split}", detail=", ".join(graphics.cards))
    if not local:
        if share is None:
            return None
        return Check("gpu", Verdict.NOTE, "What is loaded there runs on the processor only.", detail=split)
    cpu_only = graphics.found is not None or share == 0
    cards = ", ".join(graphics.cards)
    if graphics.hidden_by:
        return Check(
            "gpu",
            Verdict.WARNING,
            f"Graphics cards are hidden from a server that is started here: {', '.join(graphics.hidden_by)}.",
            detail=cards,
            hint="Take the variable away and start the server again, if that is not meant.",
        )
    if cards and cpu_only:
        return Check(
            "gpu",
            Verdict.NOTE if all(card in _INTEGRATED for card in graphics.cards) else Verdict.WARNING,
            f"The server computes on the processor only, though the system shows {cards}.",
            detail=split,
            hint=_card_hint(graphics),
        )
    if cards:
        return Check(
            "gpu",
            Verdict.NOTE,
            f"The system shows {cards}; whether the server uses it is seen once a model is loaded.",
            hint=_card_hint(graphics) if graphics.closed else "",
        )
    said = "The server computes on the processor only" if cpu_only else "Models will run on the processor only"
    return Check("gpu", Verdict.NOTE, f"{said}: no graphics card was found.", detail=split)


def _device(device: ComputeDevice) -> str:
    inner = ", ".join(part for part in (device.library, device.total) if part)
    return f"{device.name or 'a graphics card'} ({inner})"


def _card_hint(graphics: Graphics) -> str:
    if graphics.closed:
        return f"You may not use {graphics.closed}: add your user to the groups render and video, and log in again."
    cards = " ".join(graphics.cards).lower()
    if "nvidia" in cards:
        return "Update the driver of the card (NVIDIA 550 or newer), restart the computer, then the server."
    if "amd" in cards:
        return "Install Ollama's part for ROCm and the driver of the card, then restart the server."
    if "intel" in cards:
        return "Integrated cards are left out unless OLLAMA_IGPU_ENABLE=1 is set for the server."
    return "Update the driver of the card, then restart the server."


# --- the network ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy that the environment names."""

    variable: str
    shown: str
    """Its address, without credentials."""
    reachable: bool | None = None
    """None: not tried."""


@dataclass(frozen=True, slots=True)
class Proxies:
    """What the environment says of proxies."""

    http: Proxy | None = None
    https: Proxy | None = None
    every: Proxy | None = None
    """``ALL_PROXY``, which Ollama itself does not know."""
    exceptions: str = ""
    """``NO_PROXY``."""


def is_excepted(host: str, port: int, exceptions: str) -> bool:
    """Tell whether ``NO_PROXY`` keeps a host from the proxy, as Go reads it (x/net/http/httpproxy)."""
    host = host.lower().rstrip(".")
    for entry in exceptions.lower().split(","):
        entry = entry.strip()
        if entry == "*":
            return True
        if not entry:
            continue
        try:
            if ip_address(host) in ip_network(entry, strict=False):
                return True
            continue
        except ValueError:
            pass
        name, _, wanted = entry.rpartition(":") if entry.count(":") == 1 else (entry, "", "")
        if wanted and wanted != str(port):
            continue
        name = (name or entry).removeprefix("*").strip("[]")
        if host == name.removeprefix(".") and not name.startswith("."):
            return True
        if host.endswith(name if name.startswith(".") else f".{name}"):
            return True
    return False


def judge_proxy(proxies: Proxies, address: Address, status: ServerStatus) -> Check:
    named = [proxy for proxy in (proxies.http, proxies.https, proxies.every) if proxy is not None]
    if not named:
        return Check("proxy", Verdict.OK, "No proxy is set.")
    detail = ", ".join(
        f"{proxy.variable}={proxy.shown}{' (does not answer)' if proxy.reachable is False else ''}" for proxy in named
    )
    if proxies.exceptions:
        detail += f", NO_PROXY={proxies.exceptions}"
    target = address.connectable
    to_server = (proxies.https if target.scheme == "https" else proxies.http) or proxies.every
    caught = to_server is not None and not is_excepted(target.host, target.port, proxies.exceptions)
    if caught and to_server is not None and not target.is_loopback and status.state not in ANSWERING:
        return Check(
            "proxy",
            Verdict.FAILED,
            f"What is sent to {target.base_url} goes to the proxy of {to_server.variable}, and nothing comes back.",
            detail=detail,
            hint=f"Add {target.host} to NO_PROXY, if the server is in your own network.",
        )
    foreign = status.state in ANSWERING and status.owner is not Owner.OURS
    if proxies.https is not None and proxies.https.reachable is False:  # models come over https only
        return Check(
            "proxy",
            Verdict.WARNING,
            f"The proxy of {proxies.https.variable} does not answer, so that downloads through it fail.",
            detail=detail,
            hint="Start that proxy, or take the variable away and restart the server.",
        )
    if caught and to_server is not None and not target.is_loopback:
        return Check(
            "proxy",
            Verdict.NOTE,
            f"What is sent to {target.base_url} goes through the proxy of {to_server.variable}.",
            detail=detail,
            hint=f"Add {target.host} to NO_PROXY, if the server is in your own network.",
        )
    if caught and to_server is not None:
        return Check(
            "proxy",
            Verdict.NOTE,
            f"{to_server.variable} has no exception for this computer: programs other than the launcher may look for "
            "the server behind the proxy.",
            detail=detail,
            hint="Set NO_PROXY=localhost,127.0.0.1,::1 for them.",
        )
    if proxies.https is None:
        return Check(
            "proxy",
            Verdict.NOTE,
            "A proxy is set, but not for https, over which models are downloaded.",
            detail=detail,
            hint="Set HTTPS_PROXY where a proxy is needed.",
        )
    if foreign:
        return Check(
            "proxy",
            Verdict.NOTE,
            "A proxy is set here; the server that runs uses what was set where it was started.",
            detail=detail,
        )
    return Check("proxy", Verdict.OK, "Models are downloaded through a proxy.", detail=detail)


# --- key, launcher, variables -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Key:
    """The key that Ollama signs with."""

    path: str | None
    """None: no home folder is known."""
    exists: bool = False
    ours: bool = True
    user: str | None = None
    """Whose file it is."""
    private: bool = True
    readable: bool = True
    of_other_user: str | None = None
    """The server that answers runs as this user, and has a key of its own."""


def judge_key(key: Key) -> Check:
    purpose = "It is needed to sign in and to publish models."
    if key.of_other_user is not None:
        return Check(
            "key",
            Verdict.NOTE,
            f"The server has the key of its own user ({key.of_other_user}), not yours.",
            detail=purpose,
            hint="Signing in and publishing count for that user.",
        )
    if key.path is None:
        return Check("key", Verdict.UNKNOWN, "Where the key is kept is not known.", hint="Set HOME.")
    if not key.exists:
        return Check(
            "key", Verdict.NOTE, f"There is no key {key.path} yet; Ollama makes it when it first starts.", purpose
        )
    if not key.ours:
        return Check(
            "key",
            Verdict.WARNING,
            f"The key {key.path} belongs to {key.user or 'another user'}.",
            detail=purpose,
            hint=f"Give it to your user: sudo chown $USER {key.path}",
        )
    if not key.readable:
        return Check(
            "key",
            Verdict.WARNING,
            f"The key {key.path} cannot be read.",
            detail=purpose,
            hint=f"Make it readable for you alone: chmod 600 {key.path}",
        )
    if not key.private:
        return Check(
            "key",
            Verdict.WARNING,
            f"Others on this computer may read the key {key.path}.",
            detail=purpose,
            hint=f"Make it private: chmod 600 {key.path}",
        )
    return Check("key", Verdict.OK, f"The key {key.path} is there, and yours alone.")


@dataclass(frozen=True, slots=True)
class OwnFolders:
    """The launcher's own files."""

    state: str | None
    """None: no place for them is known."""
    writable: bool = False
    """Where it does not exist: it can be made."""
    free_bytes: int | None = None
    trouble: tuple[str, ...] = ()
    """What was wrong with our files, each in one sentence."""


def judge_state(folders: OwnFolders, *, local: bool) -> Check:
    if folders.state is None:
        return Check(
            "state",
            Verdict.FAILED if local else Verdict.NOTE,
            "Your home folder is not known, so the launcher has no place for its files.",
            hint="Set HOME, or LAUNCHER_CONFIG_DIR and LAUNCHER_STATE_DIR.",
        )
    if not folders.writable:
        return Check(
            "state",
            Verdict.FAILED if local else Verdict.NOTE,
            f"The launcher may not write to its folder {folders.state}.",
            hint="Give it to your user, or name another one in LAUNCHER_STATE_DIR.",
        )
    if folders.free_bytes is not None and folders.free_bytes < SCARCE_STATE_BYTES:
        return Check(
            "state",
            Verdict.WARNING,
            f"The disk of the launcher's folder {folders.state} is full: {format_bytes(folders.free_bytes)} is free.",
            hint="Make room there, or name another one in LAUNCHER_STATE_DIR.",
        )
    if folders.trouble:
        return Check("state", Verdict.WARNING, folders.trouble[0], detail=" ".join(folders.trouble[1:]))
    return Check("state", Verdict.OK, f"The launcher's files are in {folders.state}.")


# Read by the server (envconfig/config.go, 0.33). OLLAMA_HOST is read by clients, too.
_SERVER_VARIABLES = frozenset(
    f"OLLAMA_{name}"
    for name in re.findall(
        r"\w+",
        "CLOUD_BASE_URL CONTEXT_LENGTH DEBUG DEBUG_LOG_REQUESTS FLASH_ATTENTION GO_TEMPLATE GPU_OVERHEAD IGPU_ENABLE "
        "KEEP_ALIVE KV_CACHE_TYPE LLM_LIBRARY LOAD_TIMEOUT MAX_LOADED_MODELS MAX_QUEUE MAX_TRANSFER_STREAMS MODELS "
        "NOPRUNE NO_CLOUD NUM_PARALLEL ORIGINS REMOTES SCHED_SPREAD VULKAN",
    )
) | {
    "CUDA_VISIBLE_DEVICES",
    "GGML_VK_VISIBLE_DEVICES",
    "GPU_DEVICE_ORDINAL",
    "HIP_VISIBLE_DEVICES",
    "HSA_OVERRIDE_GFX_VERSION",
    "JETSON_JETPACK",
    "ROCR_VISIBLE_DEVICES",
}
_NO_LONGER_READ = frozenset(
    {"OLLAMA_INTEL_GPU", "OLLAMA_MAX_VRAM", "OLLAMA_NEW_ENGINE", "OLLAMA_RUNNERS_DIR", "OLLAMA_TMPDIR"}
)
_SET_WHERE = {
    Owner.SYSTEM_SERVICE: "Set them for the service: sudo systemctl edit ollama, then sudo systemctl restart ollama.",
    Owner.USER_SERVICE: "Set them for the service: systemctl --user edit ollama, then restart it.",
    Owner.OFFICIAL_APP: "Set them in the Ollama app, or for your whole session, and start the app again.",
    Owner.CONTAINER: "Set them where the container is made, e.g. docker run -e OLLAMA_KEEP_ALIVE=30m.",
}


def server_variables(names: Sequence[str]) -> tuple[str, ...]:
    """Those of ``names`` that a server reads, in order."""
    return tuple(sorted(name for name in names if name in _SERVER_VARIABLES or name.startswith("LLAMA_ARG_")))


def no_longer_read(names: Sequence[str]) -> tuple[str, ...]:
    """Those of ``names`` that only older servers read, in order."""
    return tuple(sorted(set(names) & _NO_LONGER_READ))


def judge_variables(
    names: Sequence[str], status: ServerStatus, owner: Owner | None, changed: Sequence[str] | None
) -> Check:
    """``names``: what is set here; ``changed``: what the server was started without, or otherwise (None: not known)."""
    read, old = server_variables(names), no_longer_read(names)
    there = status.state in ANSWERING or status.owner is Owner.OURS
    foreign = there and status.owner is not Owner.OURS
    if foreign and changed is not None:
        read = tuple(name for name in read if name in changed)
    listed = ", ".join(read)
    if foreign and read:
        return Check(
            "variables",
            Verdict.NOTE,
            f"{listed} {_is_set(read)} here, which means nothing to the server that runs: somebody else started it.",
            hint=_SET_WHERE.get(owner or Owner.UNKNOWN, "Set them where it is started, and start it again."),
        )
    if there and not foreign and changed:
        return Check(
            "variables",
            Verdict.NOTE,
            f"{', '.join(changed)} {'was' if len(changed) == 1 else 'were'} changed since the server was started.",
            hint="Restart it from here, if it is to obey",
            command=("restart",),
        )
    if old:
        return Check(
            "variables",
            Verdict.NOTE,
            f"{', '.join(old)} {_is_set(old)}, which today's Ollama no longer reads.",
            detail=f"What it reads is {listed}." if read else "",
            hint="Take it away." if len(old) == 1 else "Take them away.",
        )
    if foreign:
        return Check("variables", Verdict.OK, "Nothing is set here that the server was not started with.")
    if read:
        whom = "The server was started with" if there else "A server that is started here obeys"
        return Check("variables", Verdict.OK, f"{whom} {listed}.")
    return Check("variables", Verdict.OK, "No variable changes how a server works that is started here.")


def _is_set(names: Sequence[str]) -> str:
    return f"{_are(names)} set"


def _count(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"
