"""Every state has its words, shape and colour, and none can be taken for another."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, product

import pytest
from PySide6.QtCore import QCoreApplication, QLocale, QTranslator
from PySide6.QtWidgets import QApplication

from launcher.domain.models import Models
from launcher.domain.server import ANSWERING, Owner, RetryPlanned, ServerState, advance
from launcher.domain.transfer import Phase
from launcher.errors import sentence
from launcher.ui import phrases, units
from launcher.ui.phrases import Phrase, phase_phrase, server_phrase, told
from launcher.ui.shapes import StateShape
from launcher.ui.theme import Role

OWNERS = (None, *Owner)
COMBINATIONS = [
    pytest.param(state, owner, id=f"{state.value}-{owner.value if owner else 'nobody'}")
    for state, owner in product(ServerState, OWNERS)
]

IDLE = Models((), ())
NOTHING_KNOWN = Models(None, None)

# The contract: what is the same in two rows is the same on purpose.
CONTRACT = {
    "checking": (StateShape.ARC, Role.IDLE),
    "not installed": (StateShape.TRIANGLE, Role.WARN),
    "stopped": (StateShape.RING, Role.IDLE),
    "starting": (StateShape.ARC, Role.BUSY),
    "running, idle": (StateShape.CHECK_RING, Role.OK),
    "running, loaded": (StateShape.CHECK_DISC, Role.OK),
    "running, not ours": (StateShape.LINK_DISC, Role.FOREIGN),
    "degraded": (StateShape.EXCLAMATION_DISC, Role.WARN),
    "back-off": (StateShape.ARC_TRIANGLE, Role.WARN),
    "failed": (StateShape.CROSS_DISC, Role.BAD),
    "unreachable": (StateShape.BAR_RING, Role.BAD),
}
ROWS = {
    ServerState.CHECKING: "checking",
    ServerState.NOT_INSTALLED: "not installed",
    ServerState.STOPPED: "stopped",
    ServerState.STARTING: "starting",
    ServerState.STOPPING: "starting",
    ServerState.DEGRADED: "degraded",
    ServerState.BACKOFF: "back-off",
    ServerState.FAILED: "failed",
    ServerState.PORT_TAKEN: "failed",
    ServerState.UNREACHABLE: "unreachable",
}


@pytest.fixture(autouse=True)
def english(qapp: QApplication):
    before = QLocale()
    QLocale.setDefault(QLocale(QLocale.Language.English, QLocale.Country.UnitedStates))
    yield
    QLocale.setDefault(before)


@pytest.mark.parametrize(("state", "owner"), COMBINATIONS)
@pytest.mark.parametrize("models", [None, NOTHING_KNOWN, IDLE], ids=["unread", "unknown", "idle"])
def test_every_combination_has_words(
    state: ServerState, owner: Owner | None, models: Models | None, make_status
) -> None:
    phrase = server_phrase(make_status(state, owner), models)

    assert phrase.title
    assert phrase.footer
    assert phrase.footer in phrase.tooltip
    for text in (phrase.title, phrase.line, phrase.footer, phrase.tooltip):
        assert "{" not in text
        assert text == text.strip()
        assert "None" not in text


@pytest.mark.parametrize("state", [pytest.param(state, id=state.value) for state in ROWS])
@pytest.mark.parametrize("owner", OWNERS, ids=str)
def test_shape_and_colour_are_those_of_the_contract(state: ServerState, owner: Owner | None, make_status) -> None:
    phrase = server_phrase(make_status(state, owner), IDLE)

    assert (phrase.shape, phrase.role) == CONTRACT[ROWS[state]]


@pytest.mark.parametrize("owner", Owner, ids=lambda owner: owner.value)
def test_a_running_server_shows_whose_it_is(owner: Owner, make_status, make_loaded) -> None:
    idle = server_phrase(make_status(owner=owner), IDLE)
    loaded = server_phrase(make_status(owner=owner), make_loaded((4_000_000_000, 4_000_000_000)))

    if owner is Owner.OURS:
        assert (idle.shape, idle.role) == CONTRACT["running, idle"]
        assert (loaded.shape, loaded.role) == CONTRACT["running, loaded"]
    else:
        assert {(each.shape, each.role) for each in (idle, loaded)} == {CONTRACT["running, not ours"]}
        assert phrases.owner_words(owner).lower() in idle.line.lower()


def test_no_two_rows_of_the_contract_look_alike() -> None:
    for (one, look), (other, other_look) in combinations(CONTRACT.items(), 2):
        assert look != other_look, (one, other)


def test_states_differ_in_words_too(make_status) -> None:
    titles = [server_phrase(make_status(state)).title for state in ServerState if state is not ServerState.RUNNING]
    assert len(set(titles)) == len(titles)
    owners = [phrases.owner_words(owner) for owner in Owner]
    assert len(set(owners)) == len(owners)


def test_before_anybody_looked_it_is_checking(make_status) -> None:
    assert server_phrase(None).title == server_phrase(make_status(ServerState.CHECKING)).title == "Looking for Ollama…"


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        pytest.param((), "no model loaded", id="none"),
        pytest.param(((6_200_000_000, 6_200_000_000),), "1 model · 6.2 GB GPU", id="on the GPU"),
        pytest.param(((1_300_000_000, 0),), "1 model · 1.3 GB memory", id="in memory"),
        pytest.param(
            ((6_200_000_000, 6_200_000_000), (5_400_000_000, 4_100_000_000)),
            "2 models · 10.3 GB GPU · 1.3 GB memory",
            id="both",
        ),
        pytest.param(((1_000, 2_000),), "1 model · 2.0 kB GPU", id="more on the GPU than there is"),
    ],
)
def test_loaded_models_are_summed(sizes: tuple[tuple[int, int], ...], words: str, make_loaded, make_status) -> None:
    models = make_loaded(*sizes)

    assert phrases.loaded_words(models) == words
    assert server_phrase(make_status(), models).footer == f"Running · {words}"


def test_unknown_models_are_left_out(make_status) -> None:
    assert server_phrase(make_status(), NOTHING_KNOWN).footer == "Running"
    assert server_phrase(make_status(), None).line == ""


@pytest.mark.parametrize("state", ServerState, ids=lambda state: state.value)
def test_the_shield_is_shown_only_when_somebody_answers(state: ServerState, make_status) -> None:
    status = make_status(state, exposed=True, address="http://192.168.1.5:11434")
    phrase = server_phrase(status)

    assert phrase.exposed is (state in ANSWERING)
    assert ("Reachable from your network at 192.168.1.5:11434" in phrase.tooltip) is (state in ANSWERING)


@pytest.mark.parametrize("state", ServerState, ids=lambda state: state.value)
def test_a_simulated_server_is_called_so_everywhere(state: ServerState, make_status) -> None:
    phrase = server_phrase(make_status(state, simulated=True), IDLE)

    assert phrase.footer.startswith("Simulated · ")
    assert "Simulated" in phrase.tooltip


def test_reason_and_hint_reach_the_tray(make_status) -> None:
    phrase = server_phrase(
        make_status(ServerState.FAILED, None, reason="The graphics driver is too old.", hint="Update the driver.")
    )

    assert phrase.line == "The graphics driver is too old."
    assert phrase.tooltip == "Ollama: Ollama does not run\nThe graphics driver is too old.\nUpdate the driver."


def test_the_port_and_the_host_are_named(make_status) -> None:
    taken = make_status(ServerState.PORT_TAKEN, Owner.OTHER_PROGRAM, address="http://127.0.0.1:11435")
    assert server_phrase(taken).title == "Port 11435 is used by another program"
    away = make_status(ServerState.UNREACHABLE, Owner.REMOTE, address="https://box.example/ollama")
    assert server_phrase(away).title == "box.example does not answer"
    assert phrases.address_words(away) == "https://box.example/ollama"


UPTIME = "2\u00a0h\u00a014\u00a0min"
"""No line ends within it: the card folds its facts where it is narrow."""


@pytest.mark.parametrize(
    ("more", "line"),
    [
        pytest.param(
            {}, f"127.0.0.1:11434  ·  Ollama 0.33.0  ·  started by this launcher {UPTIME}\u00a0ago", id="ours"
        ),
        pytest.param({"started_at": None}, "127.0.0.1:11434  ·  Ollama 0.33.0  ·  started by this launcher", id="when"),
        pytest.param({"version": None, "state": ServerState.STOPPED, "owner": None}, "127.0.0.1:11434", id="stopped"),
        pytest.param(
            {"owner": Owner.UNKNOWN, "started_at": None},
            "127.0.0.1:11434  ·  Ollama 0.33.0  ·  not started by this launcher",
            id="not ours",
        ),
        pytest.param(
            {"owner": Owner.UNKNOWN},
            f"127.0.0.1:11434  ·  Ollama 0.33.0  ·  not started by this launcher  ·  running for {UPTIME}",
            id="not ours, since",
        ),
        pytest.param(
            {"owner": Owner.REMOTE, "address": "http://box:11434"},
            "box:11434  ·  Ollama 0.33.0  ·  on another computer",
            id="remote",
        ),
    ],
)
def test_facts_stand_on_one_line(more: dict[str, object], line: str, make_status) -> None:
    assert phrases.facts_line(make_status(**more), 1_000.0 + 2 * 3600 + 14 * 60) == line


# --- downloads --------------------------------------------------------------------------------------------------------


PHASE_ROLES = {
    Phase.QUEUED: Role.IDLE,
    Phase.CONNECTING: Role.BUSY,
    Phase.PULLING: Role.BUSY,
    Phase.STALLED: Role.WARN,
    Phase.VERIFYING: Role.BUSY,
    Phase.WRITING: Role.BUSY,
    Phase.PAUSED: Role.IDLE,
    Phase.WAITING_NETWORK: Role.WARN,
    Phase.WAITING_SPACE: Role.WARN,
    Phase.DONE: Role.OK,
    Phase.FAILED: Role.BAD,
}


@pytest.mark.parametrize("phase", Phase, ids=lambda phase: phase.value)
def test_every_phase_has_its_words_and_colour(phase: Phase) -> None:
    phrase = phase_phrase(phase)

    assert phrase.words
    assert phrase.role is PHASE_ROLES[phase]
    assert phrase.text_role is not Role.IDLE
    assert phrase.moving == (phrase.role is Role.BUSY)


def test_no_two_phases_have_the_same_words() -> None:
    assert len({phase_phrase(phase).words for phase in Phase}) == len(Phase)


def test_the_reason_is_part_of_the_words(make_transfer) -> None:
    assert phrases.transfer_words(make_transfer(phase=Phase.PULLING)) == "Downloading"
    failed = make_transfer(phase=Phase.FAILED, error="There is no such model.")
    assert phrases.transfer_words(failed) == "Failed: There is no such model."


@pytest.mark.parametrize(
    ("members", "words"),
    [
        pytest.param({"completed_bytes": 1_200_000_000, "total_bytes": 2_000_000_000}, "1.2 of 2.0 GB", id="part"),
        pytest.param({"completed_bytes": 40_000_000, "total_bytes": 2_000_000_000}, "40 MB of 2.0 GB", id="units"),
        pytest.param({"completed_bytes": 0, "total_bytes": 14_300_000_000}, "14.3 GB", id="before"),
        pytest.param({"completed_bytes": 0, "total_bytes": None}, "", id="unknown"),
        pytest.param({"completed_bytes": 5_000_000, "total_bytes": None}, "5.0 MB", id="no total"),
        pytest.param(
            {"completed_bytes": 5_000_000, "total_bytes": 9_000_000, "total_is_so_far": True},
            "5.0 MB of more than 9.0 MB",
            id="sizes come in",
        ),
        pytest.param(
            {"phase": Phase.DONE, "completed_bytes": 2_000_000_000, "total_bytes": 2_000_000_000}, "2.0 GB", id="done"
        ),
        pytest.param(
            {"phase": Phase.DONE, "completed_bytes": 240, "total_bytes": 240, "total_is_so_far": True},
            "",
            id="done, of which only a part was told",
        ),
    ],
)
def test_amounts(members: dict[str, object], words: str, make_transfer) -> None:
    assert phrases.amount_words(make_transfer(**{"total_is_so_far": False, **members})) == words


@pytest.mark.parametrize(
    ("members", "words"),
    [
        pytest.param({"rate_bps": 48.2e6, "eta_s": 16.0}, "48 MB/s · 16 s left", id="known"),
        pytest.param({"rate_bps": 48.2e6}, "48 MB/s · ∞", id="no time"),
        pytest.param({}, "∞", id="nothing known"),
        pytest.param({"phase": Phase.STALLED}, "∞", id="stalled"),
        pytest.param({"phase": Phase.VERIFYING}, "", id="verifying"),
        pytest.param({"phase": Phase.PAUSED}, "", id="paused"),
    ],
)
def test_paces(members: dict[str, object], words: str, make_transfer) -> None:
    assert phrases.pace_words(make_transfer(**members)) == words


# --- units ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("duration_s", "words"),
    [
        (0, "0 s"),
        (0.2, "1 s"),
        (59, "59 s"),
        (60, "1 min"),
        (200, "3 min 20 s"),
        (3600, "1 h"),
        (3605, "1 h"),
        (8040, "2 h 14 min"),
        (86_400 * 2 + 3600 * 3 + 59, "2 d 3 h"),
    ],
)
def test_durations_have_the_two_biggest_units(duration_s: float, words: str) -> None:
    assert units.duration_text(duration_s) == words


def test_numbers_are_written_as_the_locale_does() -> None:
    QLocale.setDefault(QLocale(QLocale.Language.German, QLocale.Country.Germany))

    assert units.size_text(4_700_000_000) == "4,7 GB"
    assert units.rate_text(1_500_000) == "1,5 MB/s"
    assert units.count_text(131_072) == "131.072"


@pytest.mark.parametrize(("permille", "words"), [(0, "0 %"), (624, "62 %"), (999, "99 %"), (1000, "100 %")])
def test_a_hundred_per_cent_means_done(permille: int, words: str) -> None:
    assert units.percent_text(permille) == words


def test_a_phrase_is_a_value(make_status) -> None:
    assert isinstance(server_phrase(make_status()), Phrase)
    assert server_phrase(make_status()) == server_phrase(make_status())


GERMAN = {
    "{reason} It is started again in {delay} s.": "{reason} In {delay} s wird es wieder gestartet.",
    "{subject} ended with exit code {code}.": "{subject} endete mit dem Code {code}.",
    "Look at its log.": "Sieh in sein Protokoll.",
}


class German(QTranslator):
    def translate(self, context: str, source: str, disambiguation: str | None = None, n: int = -1) -> str | None:
        return GERMAN.get(source) if context == "told" else None  # None: it has no word for it

    def isEmpty(self) -> bool:  # noqa: N802 - Qt's name
        return False


@pytest.fixture
def german(qapp: QApplication) -> Iterator[None]:
    translator = German()
    QCoreApplication.installTranslator(translator)
    yield
    QCoreApplication.removeTranslator(translator)


@pytest.mark.usefixtures("german")
def test_what_services_say_is_told_in_the_persons_language(make_status) -> None:
    ended = sentence("{subject} ended with exit code {code}.", subject="Ollama", code=2)
    status = advance(make_status(), RetryPlanned(1.5, ended, "Look at its log."))
    assert status.reason == "Ollama ended with exit code 2. It is started again in 1.5 s.", "the domain knows English"

    assert server_phrase(status).line == "Ollama endete mit dem Code 2. In 1.5 s wird es wieder gestartet."
    assert "Sieh in sein Protokoll." in server_phrase(status).tooltip
    assert told("Nobody has translated this.") == "Nobody has translated this."
    assert told("") == ""
