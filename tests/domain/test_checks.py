"""What follows from what was found: a verdict, a sentence, and a step that works."""

from __future__ import annotations

from dataclasses import replace

import pytest

from launcher.domain import checks
from launcher.domain.address import Address
from launcher.domain.checks import (
    Check,
    ComputeDevice,
    Engine,
    Graphics,
    Key,
    ModelsFolder,
    Ownership,
    OwnFolders,
    Proxies,
    Proxy,
    Unfinished,
    Verdict,
)
from launcher.domain.models import LoadedModel
from launcher.domain.server import Owner, ServerState, ServerStatus

GB = 1_000_000_000
STOPPED = ServerStatus(ServerState.STOPPED, None, "http://127.0.0.1:11434", local=True, exposed=False)
OURS = replace(STOPPED, state=ServerState.RUNNING, owner=Owner.OURS, version="0.33.0", pid=77)
FOREIGN = replace(OURS, owner=Owner.UNKNOWN, pid=None, exposed=None)
REMOTE = replace(FOREIGN, owner=Owner.REMOTE, local=False, address="http://box.lan:11434")


def verdict(check: Check | None) -> str | None:
    """The verdict, after a look at the form that every check has."""
    if check is None:
        return None
    assert check.id in checks.LABELS
    assert not check.title[0].islower(), check
    assert check.title.endswith((".", "?")), check
    assert "{" not in check.title + check.detail + check.hint, check
    assert not (check.command and check.hint.endswith(".")), check
    assert check.hint or not check.command
    if check.verdict in (Verdict.WARNING, Verdict.FAILED):
        assert check.hint or check.detail, check
    return check.verdict.value


@pytest.mark.parametrize(
    ("engine", "status", "expected"),
    [
        pytest.param(Engine("/usr/bin/ollama", "PATH", "0.33.0"), STOPPED, "ok", id="installed"),
        pytest.param(Engine("/usr/bin/ollama", "PATH"), STOPPED, "warning", id="tells no version"),
        pytest.param(Engine(None), STOPPED, "failed", id="none"),
        pytest.param(Engine(None), FOREIGN, "note", id="none, but somebody's answers"),
        pytest.param(Engine(None, error="It is a folder.", hint="Name it."), FOREIGN, "failed", id="unusable"),
    ],
)
def test_engine(engine: Engine, status: ServerStatus, expected: str) -> None:
    assert verdict(checks.judge_engine(engine, status)) == expected


@pytest.mark.parametrize(
    ("status", "installed", "expected", "command"),
    [
        pytest.param(STOPPED, "0.33.0", None, (), id="nobody answers"),
        pytest.param(OURS, "0.33.0", "ok", (), id="same"),
        pytest.param(OURS, None, "ok", (), id="installed unknown"),
        pytest.param(OURS, "0.34.0", "warning", ("restart",), id="ours is another"),
        pytest.param(FOREIGN, "0.34.0", "note", (), id="foreign is another"),
        pytest.param(REMOTE, "0.34.0", "ok", (), id="remote is not compared"),
        pytest.param(replace(OURS, version="0.5.1"), None, "note", (), id="old"),
        pytest.param(replace(OURS, version="0.0.0"), "0.33.0", "note", (), id="developer's"),
        pytest.param(replace(OURS, version="main-abc"), "0.33.0", "note", (), id="no number"),
        pytest.param(replace(OURS, version="0.33.0-rc2"), None, "ok", (), id="candidate"),
        pytest.param(replace(OURS, version="1.2.3"), None, "ok", (), id="newer"),
        pytest.param(replace(OURS, simulated=True), "0.1.0", "note", (), id="simulated"),
    ],
)
def test_version(status: ServerStatus, installed: str | None, expected: str | None, command: tuple[str, ...]) -> None:
    check = checks.judge_version(status, installed)
    assert verdict(check) == expected
    assert check is None or check.command == command


@pytest.mark.parametrize(
    ("state", "owner", "expected", "command"),
    [
        pytest.param(ServerState.RUNNING, Owner.OURS, "ok", (), id="running"),
        pytest.param(ServerState.DEGRADED, Owner.OURS, "failed", ("restart",), id="silent"),
        pytest.param(ServerState.DEGRADED, Owner.UNKNOWN, "failed", (), id="silent foreign"),
        pytest.param(ServerState.STARTING, Owner.OURS, "note", (), id="starting"),
        pytest.param(ServerState.STOPPING, Owner.OURS, "note", (), id="stopping"),
        pytest.param(ServerState.STOPPED, None, "warning", ("start",), id="stopped"),
        pytest.param(ServerState.NOT_INSTALLED, None, "warning", (), id="not installed"),
        pytest.param(ServerState.BACKOFF, Owner.OURS, "failed", ("logs",), id="again and again"),
        pytest.param(ServerState.FAILED, None, "failed", ("logs",), id="failed"),
        pytest.param(ServerState.PORT_TAKEN, Owner.OTHER_PROGRAM, "failed", (), id="port taken"),
        pytest.param(ServerState.UNREACHABLE, Owner.REMOTE, "failed", (), id="unreachable"),
        pytest.param(ServerState.CHECKING, None, "unknown", (), id="not seen"),
    ],
)
def test_server(state: ServerState, owner: Owner | None, expected: str, command: tuple[str, ...]) -> None:
    status = replace(STOPPED, state=state, owner=owner, reason="Something was said.")
    check = checks.judge_server(status, None)
    assert (verdict(check), check.command) == (expected, command)


def test_a_slow_answer_is_told() -> None:
    assert verdict(checks.judge_server(OURS, 3.2)) == "ok"
    assert verdict(checks.judge_server(OURS, 1200.0)) == "note"


@pytest.mark.parametrize(
    ("status", "ownership", "expected", "words"),
    [
        pytest.param(STOPPED, None, None, "", id="nobody's"),
        pytest.param(OURS, None, "ok", "process 77", id="ours"),
        pytest.param(
            FOREIGN,
            Ownership(Owner.SYSTEM_SERVICE, "ollama.service", "ollama"),
            "note",
            "sudo systemctl stop ollama",
            id="service",
        ),
        pytest.param(
            FOREIGN, Ownership(Owner.USER_SERVICE, "ollama.service"), "note", "systemctl --user stop", id="user service"
        ),
        pytest.param(FOREIGN, Ownership(Owner.OFFICIAL_APP), "note", "quit that app", id="app"),
        pytest.param(FOREIGN, Ownership(Owner.CONTAINER), "note", "docker stop", id="container"),
        pytest.param(FOREIGN, Ownership(Owner.OTHER_USER, user="eve"), "note", "eve", id="other user"),
        pytest.param(FOREIGN, None, "note", "not started by the launcher", id="not known"),
        pytest.param(REMOTE, None, "note", "another computer", id="remote"),
    ],
)
def test_owner(status: ServerStatus, ownership: Ownership | None, expected: str | None, words: str) -> None:
    check = checks.judge_owner(status, ownership)
    assert verdict(check) == expected
    assert check is None or words in f"{check.title} {check.hint}"


@pytest.mark.parametrize(
    ("status", "port", "holder", "expected"),
    [
        pytest.param(STOPPED, 11434, "", "ok", id="free"),
        pytest.param(STOPPED, 80, "", "warning", id="for administrators"),
        pytest.param(STOPPED, 0, "", "failed", id="no place"),
        pytest.param(STOPPED, 11434, "Port 11434 is used by x.", "warning", id="just taken"),
        pytest.param(OURS, 11434, "Port 11434 is used by ollama.", "ok", id="the server"),
        pytest.param(
            replace(STOPPED, state=ServerState.PORT_TAKEN), 65535, "Port 65535 is used by x.", "failed", id="taken"
        ),
    ],
)
def test_port(status: ServerStatus, port: int, holder: str, expected: str) -> None:
    check = checks.judge_port(status, port, holder, may_bind_low=False)
    assert verdict(check) == expected
    if check.command:
        assert Address.parse(check.command[-1]).port == 65534


@pytest.mark.parametrize(
    ("status", "bound", "origins", "would_be", "expected"),
    [
        pytest.param(OURS, ("127.0.0.1", "::1", "::ffff:127.0.0.1"), "", False, "ok", id="loopback"),
        pytest.param(FOREIGN, ("127.0.0.1", "::ffff:10.0.0.1"), "", False, "warning", id="also elsewhere"),
        pytest.param(FOREIGN, ("0.0.0.0",), "", False, "warning", id="all of IPv4"),
        pytest.param(FOREIGN, ("::",), "", False, "warning", id="all"),
        pytest.param(FOREIGN, (), "", False, "unknown", id="not known"),
        pytest.param(replace(OURS, exposed=True), (), "", True, "warning", id="by its address"),
        pytest.param(STOPPED, (), "", False, "ok", id="none runs"),
        pytest.param(STOPPED, (), "", True, "warning", id="one would be"),
        pytest.param(OURS, ("127.0.0.1",), "https://a.example, *", False, "warning", id="any website"),
    ],
)
def test_exposure(status: ServerStatus, bound: tuple[str, ...], origins: str, would_be: bool, expected: str) -> None:
    assert verdict(checks.judge_exposure(status, bound, origins=origins, would_be=would_be)) == expected


FOLDER = ModelsFolder("/m", exists=True, is_folder=True, readable=True, writable=True, models=3)


@pytest.mark.parametrize(
    ("folder", "used_by_other", "expected"),
    [
        pytest.param(FOLDER, False, "ok", id="fine"),
        pytest.param(ModelsFolder(None, trouble="Your home is not known."), False, "unknown", id="no home"),
        pytest.param(ModelsFolder(None), True, "unknown", id="of a foreign server"),
        pytest.param(ModelsFolder("/m", can_be_made=True), False, "ok", id="still to be made"),
        pytest.param(ModelsFolder("/m"), False, "failed", id="drive is gone"),
        pytest.param(ModelsFolder("/m", exists=True, readable=True), False, "failed", id="a file"),
        pytest.param(replace(FOLDER, writable=False), False, "failed", id="read-only"),
        pytest.param(replace(FOLDER, readable=False, models=None), False, "failed", id="closed"),
        pytest.param(replace(FOLDER, readable=False, models=None), True, "ok", id="closed, another's"),
        pytest.param(replace(FOLDER, writable=False), True, "ok", id="read-only, another's"),
        pytest.param(replace(FOLDER, users=("a", "b")), False, "warning", id="two servers"),
    ],
)
def test_models(folder: ModelsFolder, used_by_other: bool, expected: str) -> None:
    assert verdict(checks.judge_models(folder, used_by_other=used_by_other)) == expected


@pytest.mark.parametrize(("models", "words"), [(0, "no models"), (1, "1 model"), (2, "2 models")])
def test_numbers_in_words(models: int, words: str) -> None:
    assert checks.judge_models(replace(FOLDER, models=models), used_by_other=False).title.endswith(f"holds {words}.")


def test_an_address_that_is_not_obeyed_is_told() -> None:
    warning = Address.parse("127.0.0.1:99999").warning
    assert verdict(checks.judge_port(STOPPED, 11434, "", warning=warning)) == "warning"


FRESH = Unfinished("a" * 64, GB, 4 * GB, GB, age_s=60, damaged=False)


@pytest.mark.parametrize(
    ("downloads", "status", "expected", "words"),
    [
        pytest.param([], STOPPED, "ok", "", id="none"),
        pytest.param([FRESH], STOPPED, "note", "go on", id="fresh"),
        pytest.param([replace(FRESH, age_s=2, damaged=True)], OURS, "ok", "", id="running"),
        pytest.param([replace(FRESH, age_s=7200)], STOPPED, "note", "older than an hour", id="old"),
        pytest.param([FRESH, FRESH], FOREIGN, "note", "older than an hour", id="foreign server"),
        pytest.param([replace(FRESH, damaged=True)], STOPPED, "note", "", id="damaged, mended at the start"),
        pytest.param([replace(FRESH, damaged=True)], OURS, "warning", "Restart", id="damaged under ours"),
        pytest.param([replace(FRESH, damaged=True)], FOREIGN, "warning", "from the launcher", id="damaged, foreign"),
    ],
)
def test_downloads(downloads: list[Unfinished], status: ServerStatus, expected: str, words: str) -> None:
    check = checks.judge_downloads(downloads, status)
    assert verdict(check) == expected
    assert words in check.hint


@pytest.mark.parametrize(
    ("free", "needed", "expected"),
    [
        pytest.param(100 * GB, 0, "ok", id="plenty"),
        pytest.param(100 * GB, 200 * GB, "warning", id="not for what has begun"),
        pytest.param(3 * GB, 0, "warning", id="scarce"),
        pytest.param(0, 0, "failed", id="full"),
    ],
)
def test_space(free: int, needed: int, expected: str) -> None:
    assert verdict(checks.judge_space("/m", free, 500 * GB, needed)) == expected


CPU = ComputeDevice("cpu", "cpu", "23.5 GiB")
CUDA = ComputeDevice("CUDA", "NVIDIA GeForce RTX 4090", "24.0 GiB")


def loaded(vram_bytes: int) -> tuple[LoadedModel, ...]:
    return (LoadedModel("m", 4 * GB, vram_bytes, 4096, None, ""),)


@pytest.mark.parametrize(
    ("graphics", "local", "expected", "words"),
    [
        pytest.param(Graphics((CUDA,)), True, "ok", "RTX 4090", id="found"),
        pytest.param(Graphics((CUDA,), loaded(GB)), True, "ok", "25 %", id="found and partly used"),
        pytest.param(Graphics((CUDA,), loaded(0)), True, "warning", "on the processor", id="found, not used"),
        pytest.param(Graphics((CPU,)), True, "note", "processor only", id="none anywhere"),
        pytest.param(Graphics((CPU,), cards=("an NVIDIA card",)), True, "warning", "driver", id="not found"),
        pytest.param(Graphics((CPU,), cards=("an AMD card",)), True, "warning", "ROCm", id="AMD"),
        pytest.param(Graphics((CPU,), cards=("an Intel card",)), True, "note", "IGPU", id="integrated"),
        pytest.param(
            Graphics((CPU,), cards=("an AMD card",), closed="/dev/kfd"), True, "warning", "groups render", id="closed"
        ),
        pytest.param(Graphics(None, loaded(4 * GB)), True, "ok", "100 %", id="foreign, used"),
        pytest.param(Graphics(None, loaded(0)), True, "note", "processor only", id="foreign, not used"),
        pytest.param(Graphics(cards=("an NVIDIA card",)), True, "note", "once a model is loaded", id="only a card"),
        pytest.param(Graphics(), True, "note", "will run on the processor", id="nothing known, no card"),
        pytest.param(
            Graphics(cards=("an NVIDIA card",), hidden_by=("CUDA_VISIBLE_DEVICES=-1",)),
            True,
            "warning",
            "CUDA_VISIBLE_DEVICES",
            id="hidden",
        ),
        pytest.param(Graphics(), False, None, "", id="remote, nothing loaded"),
        pytest.param(Graphics(loaded=loaded(0)), False, "note", "processor", id="remote, processor"),
        pytest.param(Graphics(loaded=loaded(GB)), False, "ok", "25 %", id="remote, card"),
    ],
)
def test_gpu(graphics: Graphics, local: bool, expected: str | None, words: str) -> None:
    check = checks.judge_gpu(graphics, local=local)
    assert verdict(check) == expected
    assert check is None or words in f"{check.title} {check.detail} {check.hint}"


HTTP = Proxy("HTTP_PROXY", "http://***@proxy.lan:3128", reachable=True)
HTTPS = Proxy("HTTPS_PROXY", "http://proxy.lan:3128", reachable=True)
HERE, THERE = Address.parse(""), Address.parse("box.lan")


@pytest.mark.parametrize(
    ("proxies", "address", "status", "expected"),
    [
        pytest.param(Proxies(), HERE, STOPPED, "ok", id="none"),
        pytest.param(Proxies(https=HTTPS), HERE, OURS, "ok", id="downloads only"),
        pytest.param(Proxies(https=HTTPS), HERE, FOREIGN, "note", id="downloads of a foreign server"),
        pytest.param(Proxies(http=HTTP, https=HTTPS), HERE, OURS, "note", id="catches loopback"),
        pytest.param(Proxies(http=HTTP, https=HTTPS, exceptions="localhost,127.0.0.1"), HERE, OURS, "ok", id="but not"),
        pytest.param(Proxies(http=HTTP, exceptions="*"), HERE, OURS, "note", id="not for https"),
        pytest.param(
            Proxies(https=replace(HTTPS, reachable=False)), HERE, OURS, "warning", id="gone, so that pulls fail"
        ),
        pytest.param(
            Proxies(http=replace(HTTP, reachable=False), exceptions="*"),
            HERE,
            OURS,
            "note",
            id="gone, but not for pulls",
        ),
        pytest.param(Proxies(http=HTTP), THERE, REMOTE, "note", id="remote through it"),
        pytest.param(
            Proxies(http=HTTP), THERE, replace(REMOTE, state=ServerState.UNREACHABLE), "failed", id="remote lost in it"
        ),
        pytest.param(Proxies(https=HTTPS, every=HTTPS), HERE, OURS, "note", id="all"),
    ],
)
def test_proxy(proxies: Proxies, address: Address, status: ServerStatus, expected: str) -> None:
    assert verdict(checks.judge_proxy(proxies, address, status)) == expected


@pytest.mark.parametrize(
    ("host", "exceptions", "expected"),
    [
        pytest.param("127.0.0.1", "localhost", False, id="other spelling"),
        pytest.param("127.0.0.1", "127.0.0.0/8", True, id="network"),
        pytest.param("127.0.0.1", "10.0.0.0/8, 127.0.0.1", True, id="list with spaces"),
        pytest.param("::1", "::1", True, id="IPv6"),
        pytest.param("box.lan", "lan", True, id="domain"),
        pytest.param("box.lan", ".lan", True, id="only below"),
        pytest.param("lan", ".lan", False, id="not itself"),
        pytest.param("xlan", "lan", False, id="not by chance"),
        pytest.param("box.lan", "*.lan", True, id="star"),
        pytest.param("box.lan", "box.lan:11434", True, id="port"),
        pytest.param("box.lan", "box.lan:80", False, id="other port"),
        pytest.param("BOX.lan.", "box.LAN", True, id="case"),
        pytest.param("box.lan", "", False, id="empty"),
        pytest.param("box.lan", "*", True, id="everything"),
    ],
)
def test_no_proxy(host: str, exceptions: str, expected: bool) -> None:
    assert checks.is_excepted(host, 11434, exceptions) is expected


KEY = Key("/h/.ollama/id_ed25519", exists=True)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        pytest.param(KEY, "ok", id="fine"),
        pytest.param(Key(None), "unknown", id="no home"),
        pytest.param(replace(KEY, exists=False), "note", id="none yet"),
        pytest.param(replace(KEY, private=False), "warning", id="open to others"),
        pytest.param(replace(KEY, ours=False, user="root"), "warning", id="of another"),
        pytest.param(replace(KEY, readable=False), "warning", id="closed"),
        pytest.param(Key(None, of_other_user="ollama"), "note", id="of the service"),
    ],
)
def test_key(key: Key, expected: str) -> None:
    assert verdict(checks.judge_key(key)) == expected


@pytest.mark.parametrize(
    ("folders", "local", "expected"),
    [
        pytest.param(OwnFolders("/s", writable=True, free_bytes=GB), True, "ok", id="fine"),
        pytest.param(OwnFolders(None), True, "failed", id="no home"),
        pytest.param(OwnFolders(None), False, "note", id="no home, but a server elsewhere"),
        pytest.param(OwnFolders("/s"), True, "failed", id="read-only"),
        pytest.param(OwnFolders("/s", writable=True, free_bytes=0), True, "warning", id="full"),
        pytest.param(
            OwnFolders("/s", writable=True, trouble=("The settings are broken.", "So is that.")),
            True,
            "warning",
            id="broken files",
        ),
    ],
)
def test_state(folders: OwnFolders, local: bool, expected: str) -> None:
    assert verdict(checks.judge_state(folders, local=local)) == expected


@pytest.mark.parametrize(
    ("names", "status", "owner", "changed", "expected", "words"),
    [
        pytest.param(("PATH", "OLLAMA_HOST"), OURS, None, (), "ok", "No variable", id="none"),
        pytest.param(("OLLAMA_MODELS",), STOPPED, None, None, "ok", "OLLAMA_MODELS", id="for the next"),
        pytest.param(("OLLAMA_MODELS",), OURS, None, (), "ok", "started with", id="ours"),
        pytest.param(("OLLAMA_MODELS",), OURS, None, ("OLLAMA_MODELS",), "note", "Restart", id="changed"),
        pytest.param((), OURS, None, ("OLLAMA_MODELS",), "note", "Restart", id="taken away"),
        pytest.param(("OLLAMA_DEBUG",), FOREIGN, None, None, "note", "somebody else", id="without effect"),
        pytest.param(("OLLAMA_DEBUG",), FOREIGN, None, ("OLLAMA_MODELS",), "ok", "Nothing", id="set there, too"),
        pytest.param(
            ("LLAMA_ARG_FIT",), FOREIGN, Owner.SYSTEM_SERVICE, None, "note", "systemctl edit", id="of a service"
        ),
        pytest.param(("OLLAMA_TMPDIR",), STOPPED, None, None, "note", "no longer", id="of old"),
    ],
)
def test_variables(
    names: tuple[str, ...],
    status: ServerStatus,
    owner: Owner | None,
    changed: tuple[str, ...] | None,
    expected: str,
    words: str,
) -> None:
    check = checks.judge_variables(names, status, owner, changed)
    assert verdict(check) == expected
    assert words in f"{check.title} {check.hint}"


def test_what_hangs_or_breaks_says_so() -> None:
    assert verdict(checks.hung("gpu", 8.0)) == "unknown"
    assert verdict(checks.broken("space", "no such device")) == "unknown"
