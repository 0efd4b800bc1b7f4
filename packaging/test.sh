#!/bin/sh
# Every check and all tests: sets up what is missing, then ruff, mypy and pytest, which gets the given arguments.
# Own options, before any other: --python 3.X (an environment of its own, .venv-3.X).
exec "$(dirname -- "$(readlink -f -- "$0")")/python.sh" test "$@"
