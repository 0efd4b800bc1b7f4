"""Ollama launcher: start, watch and stop a local Ollama, download models, and talk to them.

The map of the house
====================

::

    __main__.py      entry: the window, or the command line where a command is given
    core.py          builds and owns all services, without Qt
    app/             the window's composition root: first paint, then core, connects, runs, shuts down
    loop.py          make_loop(): the one place that knows qasync
    tasks.py         TaskScope (owns one-shot tasks), run_blocking (owned worker threads)
    errors.py        the root of the error tree
    environment.py   the environment of children, and how we start ourselves
    paths.py         our folders (platformdirs); bundled resources
    diagnostics.py   logging, redaction, last-resort handlers
    domain/          values and pure functions: all that is published or shown
    ollama/          the HTTP API as an async client; public: ``from launcher.ollama import Client``
    server/          find the binary, spawn and signal, supervise, probe, read the log
    downloads/       transfers
    library.py       installed and loaded models
    settings.py      storage of the settings that domain/ declares
    actions/         use cases that join services or ask a question
    demo/            a simulated Ollama server
    cli/             the command line
    ui/              store, theme, phrases, tray, single instance, main window, pages, widgets: no service, no asyncio

The import rule
===============

``domain`` imports ``errors`` only. ``ollama`` imports ``domain``, ``errors`` and ``tasks`` and is the only importer of
httpx. The services (``server``, ``downloads``, ``library``, ``settings``) import neither Qt nor each other: what one
needs of another is a callable that ``core`` hands in. ``cli``, ``core`` and ``app`` wire; nobody but the entry imports
``app``. ``ui`` imports PySide6, ``domain``, ``errors`` and ``paths``. Only ``loop`` imports qasync.
``tests/test_architecture.py`` holds the whole table.
"""

from __future__ import annotations

__version__ = "0.1.0"
