"""The state machine of the server and the table of what may be offered."""

from __future__ import annotations

from dataclasses import replace

import pytest

from launcher.domain.server import (
    Answer,
    Failed,
    Gone,
    Offers,
    Owner,
    Recorded,
    RetryPlanned,
    Seen,
    ServerEvent,
    ServerState,
    ServerStatus,
    Sighting,
    StartWished,
    StopWished,
    advance,
    offers,
)

S = ServerState
CHECKING = ServerStatus(S.CHECKING, None, "http://127.0.0.1:11434", local=True, exposed=False)
OURS = replace(CHECKING, state=S.RUNNING, owner=Owner.OURS, version="0.33.0", pid=7, started_at=5.0)
FOREIGN = replace(OURS, owner=Owner.UNKNOWN, pid=None)
REMOTE = replace(CHECKING, address="http://10.0.0.9:11434", local=False)

ANSWERS = Sighting(Answer.OLLAMA, version="0.33.0")
OURS_ANSWERS = replace(ANSWERS, recorded=Recorded.ALIVE, pid=7, started_at=5.0)
NOBODY = Sighting(Answer.NONE, installed=True)
SILENT = Sighting(Answer.SILENT)


def in_state(state: ServerState, owner: Owner | None = None) -> ServerStatus:
    return replace(CHECKING, state=state, owner=owner)


TRANSITIONS: dict[str, tuple[ServerStatus, ServerEvent, ServerState, Owner | None]] = {
    "checking to running, ours": (CHECKING, Seen(OURS_ANSWERS), S.RUNNING, Owner.OURS),
    "checking to running, not ours": (CHECKING, Seen(ANSWERS), S.RUNNING, Owner.UNKNOWN),
    "checking to running, remote": (REMOTE, Seen(ANSWERS), S.RUNNING, Owner.REMOTE),
    "checking to unreachable": (REMOTE, Seen(NOBODY), S.UNREACHABLE, Owner.REMOTE),
    "checking to stopped": (CHECKING, Seen(NOBODY), S.STOPPED, None),
    "checking to not installed": (CHECKING, Seen(Sighting(Answer.NONE, installed=False)), S.NOT_INSTALLED, None),
    "checking to starting, ours": (
        CHECKING,
        Seen(replace(SILENT, recorded=Recorded.ALIVE, pid=7)),
        S.STARTING,
        Owner.OURS,
    ),
    "checking to starting, somebody's": (
        CHECKING,
        Seen(replace(SILENT, holder_is_ollama=True)),
        S.STARTING,
        Owner.UNKNOWN,
    ),
    "checking to degraded, ours is long overdue": (
        CHECKING,
        Seen(replace(SILENT, recorded=Recorded.ALIVE, overdue=True)),
        S.DEGRADED,
        Owner.OURS,
    ),
    "checking to port taken, silent": (CHECKING, Seen(replace(SILENT, holder="x")), S.PORT_TAKEN, Owner.OTHER_PROGRAM),
    "checking to port taken, other words": (
        CHECKING,
        Seen(Sighting(Answer.FOREIGN)),
        S.PORT_TAKEN,
        Owner.OTHER_PROGRAM,
    ),
    "stopped to starting": (in_state(S.STOPPED), StartWished(), S.STARTING, Owner.OURS),
    "stopped to running, started elsewhere": (in_state(S.STOPPED), Seen(ANSWERS), S.RUNNING, Owner.UNKNOWN),
    "starting to running": (in_state(S.STARTING, Owner.OURS), Seen(OURS_ANSWERS), S.RUNNING, Owner.OURS),
    "starting to failed": (in_state(S.STARTING, Owner.OURS), Failed("no", "do"), S.FAILED, None),
    "starting to port taken": (
        in_state(S.STARTING, Owner.OURS),
        Failed("x has it", "do", S.PORT_TAKEN),
        S.PORT_TAKEN,
        Owner.OTHER_PROGRAM,
    ),
    "starting to backoff": (in_state(S.STARTING, Owner.OURS), RetryPlanned(2, "It ended.", ""), S.BACKOFF, Owner.OURS),
    "running to degraded": (OURS, Seen(replace(SILENT, recorded=Recorded.ALIVE, pid=7)), S.DEGRADED, Owner.OURS),
    "running to degraded, not ours": (FOREIGN, Seen(SILENT), S.DEGRADED, Owner.UNKNOWN),
    "running to stopped, not ours": (FOREIGN, Seen(NOBODY), S.STOPPED, None),
    "running to stopping": (OURS, StopWished(), S.STOPPING, Owner.OURS),
    "running to stopping, elsewhere": (
        OURS,
        Seen(replace(OURS_ANSWERS, recorded=Recorded.STOPPING)),
        S.STOPPING,
        Owner.OURS,
    ),
    "running to backoff": (OURS, RetryPlanned(1, "It ended.", "why"), S.BACKOFF, Owner.OURS),
    "degraded to running": (in_state(S.DEGRADED, Owner.OURS), Seen(OURS_ANSWERS), S.RUNNING, Owner.OURS),
    "stopping to stopped": (in_state(S.STOPPING, Owner.OURS), Gone(), S.STOPPED, None),
    "stopping to stopped, elsewhere": (in_state(S.STOPPING, Owner.OURS), Seen(NOBODY), S.STOPPED, None),
    "backoff to starting": (in_state(S.BACKOFF, Owner.OURS), StartWished(), S.STARTING, Owner.OURS),
    "backoff to stopping": (in_state(S.BACKOFF, Owner.OURS), StopWished(), S.STOPPING, Owner.OURS),
    "backoff to failed": (in_state(S.BACKOFF, Owner.OURS), Failed("too often", "log"), S.FAILED, None),
    "backoff stays while nobody answers": (in_state(S.BACKOFF, Owner.OURS), Seen(NOBODY), S.BACKOFF, Owner.OURS),
    "failed stays while nobody answers": (in_state(S.FAILED), Seen(NOBODY), S.FAILED, None),
    "failed to running, started elsewhere": (in_state(S.FAILED), Seen(ANSWERS), S.RUNNING, Owner.UNKNOWN),
    "port taken to stopped": (in_state(S.PORT_TAKEN, Owner.OTHER_PROGRAM), Seen(NOBODY), S.STOPPED, None),
    "not installed to stopped": (in_state(S.NOT_INSTALLED), Seen(NOBODY), S.STOPPED, None),
}


@pytest.mark.parametrize(("before", "event", "state", "owner"), TRANSITIONS.values(), ids=TRANSITIONS.keys())
def test_transition(before: ServerStatus, event: ServerEvent, state: ServerState, owner: Owner | None) -> None:
    after = advance(before, event)
    assert (after.state, after.owner) == (state, owner)


def test_a_server_that_is_gone_leaves_no_facts_behind() -> None:
    after = advance(OURS, Seen(NOBODY))
    assert (after.version, after.pid, after.started_at, after.simulated) == (None, None, None, False)


def test_the_same_look_twice_changes_nothing() -> None:
    for before, event, _, _ in TRANSITIONS.values():
        if isinstance(event, Seen):
            once = advance(before, event)
            assert advance(once, event) == once


def test_running_explains_nothing() -> None:
    after = advance(in_state(S.STARTING, Owner.OURS), Seen(OURS_ANSWERS))
    assert (after.reason, after.hint) == ("", "")


def test_a_planned_retry_says_when() -> None:
    assert advance(OURS, RetryPlanned(4, "Ollama ended by itself.", "")).reason.endswith("in 4 s.")


@pytest.mark.parametrize("owner", [owner for owner in Owner if owner is not Owner.OURS])
@pytest.mark.parametrize("state", [S.RUNNING, S.DEGRADED, S.STARTING, S.STOPPING])
def test_nothing_is_offered_against_a_server_that_is_not_ours(state: ServerState, owner: Owner) -> None:
    assert offers(in_state(state, owner)) == Offers()


def test_nothing_is_offered_on_another_machine() -> None:
    for state in ServerState:
        assert offers(replace(REMOTE, state=state, owner=Owner.OURS)) == Offers()


OFFERS = {
    S.CHECKING: Offers(),
    S.STARTING: Offers(stop=True, restart=True),
    S.RUNNING: Offers(stop=True, restart=True),
    S.DEGRADED: Offers(stop=True, restart=True),
    S.BACKOFF: Offers(start=True, stop=True),
    S.STOPPING: Offers(),
}


@pytest.mark.parametrize("state", OFFERS, ids=lambda state: state.value)
def test_offers_of_ours(state: ServerState) -> None:
    assert offers(in_state(state, Owner.OURS)) == OFFERS[state]
