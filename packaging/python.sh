#!/bin/sh
# Starts bootstrap.py with any Python from 3.8 on; it looks for a fitting one by itself.
folder=$(dirname -- "$0")
for python in python3 python3.13 python3.12 python3.11 python /usr/bin/python3 \
    "${PYENV_ROOT:-${HOME:-/nowhere}/.pyenv}"/versions/3.*/bin/python3; do
    # A shim of pyenv may exist and still start nothing, so each is asked.
    if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 8))' 2>/dev/null; then
        exec "$python" "$folder/bootstrap.py" "$@"
    fi
done
echo 'No Python 3 was found. Install one, for example: apt-get install python3 python3-venv, or: dnf install python3' >&2
exit 1
