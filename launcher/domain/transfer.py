"""One download as the launcher shows it, and how it follows from the lines of a pull. Pure: any trace can be replayed.

What the server says is about one layer at a time, forgets small layers, ends layers below 100 % and takes bytes back
when a part fails (server/download.go, seen on 0.33.0-rc2). What people want to see is one figure for the whole model
that never runs backwards, an honest speed, and a time left only when there is a reason to believe it.

Knows no clock, no network and no words for people: whoever folds brings ``now_s`` (seconds of any clock that never
runs backwards) and the sentences of a failure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import Enum

STALLED_AFTER_S = 5.0
"""No byte for so long while pulling is a stall. The server itself only reconnects after 30 s, and without a word."""

RATE_WINDOW_S = 8.0
"""The speed is the mean over this window."""

RATE_KNOWN_AFTER_S = 1.5
ETA_KNOWN_AFTER_S = 3.0

ETA_STEADY_RATIO = 2.0
"""A time left is told only while both halves of the window differ in speed by less than this."""

SAMPLE_EVERY_S = 0.2

AGGREGATE_DIGEST = "sha256:model"
"""What a pull of safetensors says instead of layers (x/transfer, 0.33): totals of the whole model in every line."""


class Phase(Enum):
    """What a download is doing."""

    QUEUED = "queued"
    CONNECTING = "connecting"
    PULLING = "pulling"
    STALLED = "stalled"
    VERIFYING = "verifying"
    WRITING = "writing"
    PAUSED = "paused"
    WAITING_NETWORK = "waiting_network"
    WAITING_SPACE = "waiting_space"
    DONE = "done"
    FAILED = "failed"

    @property
    def ended(self) -> bool:
        return self in (Phase.DONE, Phase.FAILED)

    @property
    def going_on(self) -> bool:
        """It runs, or will when its turn comes; what is paused waits for a person."""
        return not self.ended and self is not Phase.PAUSED

    @property
    def running(self) -> bool:
        """It is being worked on now."""
        return self.going_on and self is not Phase.QUEUED


class Trouble(Enum):
    """Why a download failed, as far as somebody may act on it."""

    NONE = "none"
    NO_SUCH_MODEL = "no_such_model"
    NOT_REACHABLE = "not_reachable"
    """The Ollama server does not answer: the download has not begun."""
    BROKEN_OFF = "broken_off"
    """The Ollama server went away in the middle; if it was killed, much of what had come may be lost."""
    NO_NETWORK = "no_network"
    """The server answers, but cannot reach the registry."""
    NO_SPACE = "no_space"
    DAMAGED = "damaged"
    """What was kept of an earlier download cannot be used."""
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class PullLine:
    """One line of a pull. Members that the server leaves out are None; a missing ``completed`` means 0."""

    status: str
    digest: str | None = None
    total_bytes: int | None = None
    completed_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class PlannedLayer:
    """One blob of the manifest."""

    digest: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class LayerProgress:
    """What is known of one blob."""

    digest: str
    size_bytes: int | None
    """None: never told."""
    said_bytes: int
    """What the server said last: it may take bytes back."""
    shown_bytes: int
    """The most it has said in this attempt: it does not."""
    seen: bool
    """This attempt has had word of it, from a line or from one about a later layer."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """What the fold has to remember and nobody shows."""

    layers: tuple[LayerProgress, ...] = ()
    """In the order in which the server works through them, as far as it is known; each digest once."""
    planned: int = 0
    """How many of them, from the front, the manifest names."""
    active: str = ""
    """The digest that the last line spoke of."""
    received_bytes: int = 0
    """Bytes that came over the network in this attempt; what was on disk before does not count."""
    samples: tuple[tuple[float, int], ...] = ()
    """(now_s, received_bytes), over :data:`RATE_WINDOW_S`."""
    changed_s: float = 0.0
    """When a byte count last changed."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """One download. Unknown is None, never a guess."""

    model: str
    phase: Phase
    completed_bytes: int = 0
    total_bytes: int | None = None
    total_is_so_far: bool = True
    """True while the registry has not told the sizes: more may come."""
    permille: int | None = None
    """0 to 1000 of the whole model; 1000 only when it is done."""
    rate_bps: float | None = None
    """Bytes a second. None: not known yet, or nothing moves."""
    eta_s: float | None = None
    trouble: Trouble = Trouble.NONE
    error: str = ""
    """One sentence when it failed or was paused by circumstances; empty otherwise."""
    hint: str = ""
    detail: str = ""
    added_s: float = 0.0
    ledger: Ledger = field(default=Ledger(), repr=False, compare=False)


def new_transfer(model: str, now_s: float) -> Transfer:
    return Transfer(model=model, phase=Phase.QUEUED, added_s=now_s)


def reopened(transfer: Transfer, now_s: float, *, phase: Phase = Phase.CONNECTING) -> Transfer:
    """Begin another attempt: a first one, one after a pause, or one after a failure. ``phase`` may be QUEUED: wait.

    What was shown stays until the server has spoken about the layer again; then its word counts, also when it has less
    than before (a killed server forgets what its unfinished parts had).
    """
    layers = tuple(replace(layer, seen=False) for layer in transfer.ledger.layers)
    ledger = replace(transfer.ledger, layers=layers, active="", received_bytes=0, samples=(), changed_s=now_s)
    return replace(
        transfer,
        phase=phase,
        rate_bps=None,
        eta_s=None,
        trouble=Trouble.NONE,
        error="",
        hint="",
        detail="",
        ledger=ledger,
    )


def paused(transfer: Transfer, error: str = "", hint: str = "") -> Transfer:
    """Stop for now: what is on disk stays, another attempt goes on from there."""
    return replace(transfer, phase=Phase.PAUSED, rate_bps=None, eta_s=None, error=error, hint=hint)


def failed(transfer: Transfer, trouble: Trouble, error: str, hint: str = "", detail: str = "") -> Transfer:
    """End with a reason; a later attempt may go on from what is on disk."""
    return replace(
        transfer,
        phase=Phase.FAILED,
        rate_bps=None,
        eta_s=None,
        trouble=trouble,
        error=error,
        hint=hint,
        detail=detail,
    )


def with_plan(transfer: Transfer, plan: Iterable[PlannedLayer]) -> Transfer:
    """Take over the sizes from the registry's manifest, which may come at any time, also after the first lines."""
    if transfer.phase.ended or any(layer.digest == AGGREGATE_DIGEST for layer in transfer.ledger.layers):
        return transfer
    known = {layer.digest: layer for layer in transfer.ledger.layers}
    merged: dict[str, LayerProgress] = {}
    for planned in plan:
        if planned.digest in merged:
            continue
        layer = known.pop(planned.digest, None) or LayerProgress(planned.digest, None, 0, 0, seen=False)
        size_bytes = max(planned.size_bytes, layer.shown_bytes)
        merged[planned.digest] = replace(layer, size_bytes=size_bytes)
    if not merged:
        return transfer
    layers = (*merged.values(), *known.values())
    if transfer.phase in (Phase.VERIFYING, Phase.WRITING):
        layers = _completed(layers)
    else:
        layers = _completed_before(layers, transfer.ledger.active, len(merged))
    return _summed(replace(transfer, ledger=replace(transfer.ledger, layers=layers, planned=len(merged))))


def fold(transfer: Transfer, line: PullLine, now_s: float, *, stalled_after_s: float = STALLED_AFTER_S) -> Transfer:
    """What the download is after ``line``. Lines that nobody has seen before change nothing."""
    if transfer.phase.ended or transfer.phase is Phase.PAUSED:
        return transfer
    status = line.status
    if line.digest:
        return _pulling(transfer, line, line.digest, now_s, stalled_after_s)
    if status == "pulling manifest":
        return replace(transfer, phase=Phase.CONNECTING, rate_bps=None, eta_s=None)
    if status.startswith("verifying"):
        return _past_the_bytes(transfer, Phase.VERIFYING)
    if status == "writing manifest":
        return _past_the_bytes(transfer, Phase.WRITING)
    if status == "success":
        finished = _past_the_bytes(transfer, Phase.DONE)
        # Without the manifest it stays a total so far: small layers come without a line of their own.
        return replace(finished, permille=1000, total_bytes=finished.completed_bytes or None)
    return transfer


def tick(transfer: Transfer, now_s: float, *, stalled_after_s: float = STALLED_AFTER_S) -> Transfer:
    """What the download is when time passes and nothing is said."""
    if transfer.phase is not Phase.PULLING:
        return transfer
    return _moving(transfer, now_s, stalled_after_s)


def _pulling(transfer: Transfer, line: PullLine, digest: str, now_s: float, stalled_after_s: float) -> Transfer:
    ledger = transfer.ledger
    layers = ledger.layers
    if digest == AGGREGATE_DIGEST and ledger.active != AGGREGATE_DIGEST:
        # One figure for everything takes the place of the layers; what was shown so far stays shown, unless this is
        # the first word of an attempt.
        already = next((layer for layer in layers if layer.digest == digest), None)
        seen = any(layer.seen for layer in layers)
        layers = (already or LayerProgress(digest, None, 0, transfer.completed_bytes, seen=seen),)
        ledger = replace(ledger, planned=0)
    index = next((i for i, layer in enumerate(layers) if layer.digest == digest), len(layers))
    before = layers[index] if index < len(layers) else LayerProgress(digest, None, 0, 0, seen=False)

    said_bytes = max(line.completed_bytes or 0, 0)
    size_bytes = before.size_bytes if index < ledger.planned else None
    if size_bytes is None:
        size_bytes = line.total_bytes if line.total_bytes and line.total_bytes > 0 else before.size_bytes
    if size_bytes is not None:
        said_bytes = min(said_bytes, max(size_bytes, before.shown_bytes if before.seen else 0))
    shown_bytes = max(said_bytes, before.shown_bytes) if before.seen else said_bytes
    if size_bytes is not None:
        size_bytes = max(size_bytes, shown_bytes)
    layer = LayerProgress(digest, size_bytes, said_bytes, shown_bytes, seen=True)

    grown_bytes = max(said_bytes - before.said_bytes, 0) if before.seen else 0
    changed = not before.seen or said_bytes != before.said_bytes
    layers = (*layers[:index], layer, *layers[index + 1 :])
    if digest != ledger.active:
        # The layers come one after another: when the next one speaks, those before it are complete.
        layers = (*(_complete(other) if other.seen else other for other in layers[:index]), *layers[index:])
        layers = _completed_before(layers, digest, ledger.planned)
    ledger = replace(
        ledger,
        layers=layers,
        active=digest,
        received_bytes=ledger.received_bytes + grown_bytes,
        changed_s=now_s if changed else ledger.changed_s,
    )
    if transfer.phase is Phase.STALLED and not changed:
        return replace(transfer, ledger=ledger)
    if transfer.phase is not Phase.PULLING:
        # CONNECTING, STALLED -> PULLING: what came before says nothing about the speed from here on
        ledger = replace(ledger, samples=())
    rebased = not before.seen and shown_bytes < before.shown_bytes
    summed = _summed(replace(transfer, phase=Phase.PULLING, ledger=ledger), may_fall=rebased)
    return _moving(summed, now_s, stalled_after_s)


def _moving(transfer: Transfer, now_s: float, stalled_after_s: float) -> Transfer:
    """Bring speed, time left and the stall up to ``now_s``."""
    ledger = transfer.ledger
    if now_s - ledger.changed_s >= stalled_after_s:
        # PULLING -> STALLED
        return replace(transfer, phase=Phase.STALLED, rate_bps=None, eta_s=None, ledger=replace(ledger, samples=()))
    samples = ledger.samples
    if samples and now_s - samples[-1][0] < SAMPLE_EVERY_S:
        return transfer
    samples = (*samples, (now_s, ledger.received_bytes))
    while len(samples) > 2 and samples[1][0] <= now_s - RATE_WINDOW_S:
        samples = samples[1:]
    rate_bps, steady = _rate(samples)
    eta_s = None
    if steady and rate_bps and transfer.total_bytes is not None:
        said_bytes = sum(layer.said_bytes for layer in ledger.layers)
        eta_s = max(transfer.total_bytes - said_bytes, 0) / rate_bps
    return replace(transfer, rate_bps=rate_bps, eta_s=eta_s, ledger=replace(ledger, samples=samples))


def _rate(samples: tuple[tuple[float, int], ...]) -> tuple[float | None, bool]:
    """The speed over the window (None: too early), and whether it is steady enough for a time left."""
    start_s, start_bytes = samples[0]
    now_s, received_bytes = samples[-1]
    span_s = now_s - start_s
    if span_s < RATE_KNOWN_AFTER_S:
        return None, False
    rate_bps = (received_bytes - start_bytes) / span_s
    if span_s < ETA_KNOWN_AFTER_S:
        return rate_bps, False
    middle_s, middle_bytes = min(samples, key=lambda sample: abs(sample[0] - start_s - span_s / 2))
    if not start_s < middle_s < now_s:
        return rate_bps, False
    first_bps = (middle_bytes - start_bytes) / (middle_s - start_s)
    second_bps = (received_bytes - middle_bytes) / (now_s - middle_s)
    slower_bps, faster_bps = sorted((first_bps, second_bps))
    return rate_bps, slower_bps > 0 and faster_bps / slower_bps <= ETA_STEADY_RATIO


def _past_the_bytes(transfer: Transfer, phase: Phase) -> Transfer:
    """All layers are there, whatever the last line about them said."""
    ledger = replace(transfer.ledger, layers=_completed(transfer.ledger.layers), samples=())
    return _summed(replace(transfer, phase=phase, rate_bps=None, eta_s=None, ledger=ledger))


def _summed(transfer: Transfer, *, may_fall: bool = False) -> Transfer:
    """Bring the figures of the whole model up to the ledger."""
    layers = transfer.ledger.layers
    completed_bytes = sum(layer.shown_bytes for layer in layers)
    total_bytes = sum(layer.shown_bytes if layer.size_bytes is None else layer.size_bytes for layer in layers) or None
    told = transfer.ledger.planned > 0 or any(layer.digest == AGGREGATE_DIGEST for layer in layers)
    permille = min(completed_bytes * 1000 // total_bytes, 999) if total_bytes else None
    if not may_fall:
        completed_bytes = max(completed_bytes, transfer.completed_bytes)
        if permille is not None and transfer.permille is not None:
            permille = max(permille, transfer.permille)
        total_bytes = max(total_bytes or 0, completed_bytes) or None
    return replace(
        transfer,
        completed_bytes=completed_bytes,
        total_bytes=total_bytes,
        total_is_so_far=not told,
        permille=permille if permille is not None else transfer.permille,
    )


def _complete(layer: LayerProgress) -> LayerProgress:
    if layer.size_bytes is None:
        return layer
    return replace(layer, said_bytes=layer.size_bytes, shown_bytes=layer.size_bytes, seen=True)


def _completed(layers: tuple[LayerProgress, ...]) -> tuple[LayerProgress, ...]:
    return tuple(_complete(layer) for layer in layers)


def _completed_before(layers: tuple[LayerProgress, ...], digest: str, planned: int) -> tuple[LayerProgress, ...]:
    """Complete every planned layer before ``digest``: those that took less than 60 ms were never announced."""
    index = next((i for i, layer in enumerate(layers[:planned]) if layer.digest == digest), 0)
    return (*_completed(layers[:index]), *layers[index:])
