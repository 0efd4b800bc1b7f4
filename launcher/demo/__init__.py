"""A simulated Ollama server: to try the launcher without Ollama, for screenshots, tests and benchmarks.

``python -m launcher.demo serve`` (also ``ollama-launcher demo serve``) is driven as ``ollama serve`` is: by its
environment, its HTTP routes, its signals, its log and its exit codes, and by nothing else. Only domain, errors and
environment are imported here, and nothing of httpx or pydantic: it must start as fast as the real one does.

::

    command.py     the command line of ``ollama``: serve, --version, what it says to anything else
    script.py      what a run is told by LAUNCHER_DEMO_SCRIPT: sizes, speeds, faults (the schema is there)
    server.py      the life of the process: bind, log, discover, serve, stop by signal
    http.py        HTTP/1.1 on asyncio streams: chunks, disconnects, access lines
    routes.py      what each route answers
    pull.py        the sequence of a pull
    download.py    the download of one blob: parts, resume files, retries, stalls
    registry.py    the registry that is pulled from: models, layers, faults
    store.py       the models folder: blobs, manifests, prune
    runners.py     loaded models, one process each
    chat.py        the text that a simulated model answers
    golang.py      how Go writes JSON, durations and errors

What differs from the real server, on purpose
---------------------------------------------

- Every answer carries the header ``Ollama-Simulated: 1``.
- Weights are files of the right size full of nothing (sparse where the file system can), their digests are declared and
  not computed; templates, parameters, licences and configurations are true text with true digests.
- Nothing is fetched: the registry is a part of this process, also under ``/v2/…`` of its own address.
- No key is made in ``~/.ollama``: a file that only looks like a key would break a real Ollama later.
- Without OLLAMA_MODELS the folder is ``~/.ollama/simulated``, never the one of a real Ollama, and a folder that holds
  the models of a real one is refused.
- Create, push, blobs, the account, web search and the compatible routes under ``/v1`` do not exist: 404, as on an
  older server. Embeddings are numbers of the right shape without a meaning.
- Models are evicted only by their time, never for room.
"""

from __future__ import annotations
