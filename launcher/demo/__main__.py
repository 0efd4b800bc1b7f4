"""``python -m launcher.demo …``: the simulated ``ollama``."""

from __future__ import annotations

import sys

from launcher.demo.command import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
