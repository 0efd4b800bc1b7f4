"""Which graphics cards there are, and which of them the server uses."""

from __future__ import annotations

from dataclasses import dataclass

from launcher.domain.checks.check import Check, Verdict
from launcher.domain.models import LoadedModel

INTEL = "an Intel card"

# Ollama leaves these out by itself, so that nothing is wrong where it does not use them.
_INTEGRATED = frozenset({INTEL})


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
