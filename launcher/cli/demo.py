"""``demo serve``: the simulated server, for trying the launcher without Ollama."""

from __future__ import annotations

import click


@click.group(short_help="A simulated server, for trying things without Ollama.")
def demo() -> None:
    """A simulated Ollama server: no real model, nothing downloaded from the world."""


@demo.command(
    short_help="Serve as “ollama serve” does.",
    context_settings={"ignore_unknown_options": True},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def serve(arguments: tuple[str, ...]) -> int:
    """Serve as “ollama serve” does; OLLAMA_HOST and OLLAMA_MODELS say where.

    LAUNCHER_DEMO_SCRIPT names a JSON file with faults and sizes.
    """
    import gc

    from launcher.demo.command import main

    gc.enable()
    return main(["serve", *arguments])
