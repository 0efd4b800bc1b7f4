#!/bin/sh
# The app from a checkout: sets up what is missing, then starts ollama-launcher with the given arguments.
# Own options, before any other: --yes (install missing system libraries without asking), --python 3.X.
exec "$(dirname -- "$(readlink -f -- "$0")")/python.sh" run "$@"
