"""A simulated Ollama server: to try the launcher without Ollama, for screenshots, tests and benchmarks.

``python -m launcher.demo serve`` (also ``ollama-launcher demo serve``) is driven as ``ollama serve`` is: by its
environment, its HTTP routes, its signals, its log and its exit codes, and by nothing else. Only domain, errors and
environment are imported here, and nothing of httpx or pydantic: it must start as fast as the real one does.

::

    command.py     the command line of ``ollama``: serve, --version, what it says to anything else
    script.py      what a run is told by LAUNCHER_DEMO_SCRIPT: sizes, speeds, faults (the schema is there)
    script_rare.py what few of them are told; script_file.py reads the file
    server.py      the life of the process: bind, log, discover, serve, stop by signal
    http.py        HTTP/1.1 on asyncio streams: chunks, disconnects, access lines
    reply.py       what HTTP and the routes expect of each other
    routes/        what each route answers
        table.py       which path is answered by whom, and who may ask
        world.py       what all routes share
        binding.py     reading requests, in Go's words where they do not fit
        refusing.py    how a refusal is told
        progress.py    streams of status lines
        installed.py   tags, ps, show, delete, copy; description.py is what show says
        transfers.py   pull, push, blobs, the registry's own routes
        building.py    create
        inference.py   generate, chat; lines.py is how their answers are written
        embedding.py   embed, embeddings
        openai.py      everything under /v1; openai_requests.py and openai_chunks.py translate
        account.py     status, me, signout, recommendations, web search
    pull.py        the sequence of a pull
    push.py        the sequence of a push
    creation.py    the sequence of a create
    download.py    the download of one blob: parts, resume files, retries, stalls
    upload.py      the upload of one blob
    registry.py    the registry that is pulled from and pushed to: models, layers, faults
    store.py       the models folder: blobs, manifests, prune
    runners.py     loaded models, one process each
    faults.py      what goes wrong with the inference
    chat.py        what a simulated model says; schema.py makes JSON that fits, vectors.py makes embeddings
    prompt.py      how much of a conversation fits, and what is cut without a word
    gguf.py        what the head of a GGUF file says
    templates.py   what Go says about a template that it cannot parse
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
- Nothing is converted either: a model that is made of files or quantized has weights of the right size, behind the
  head of the old file. What is pushed is there to be pulled until the server stops.
- A model that has ``tools`` calls one when it is offered any; what it says fits the ``format`` that is asked for.
  Embeddings are alike where words are alike, and have no other meaning.
- There is no account unless the script has one, and no cloud: a model of it cannot be run. ``/v1/responses``,
  ``/v1/messages`` and ``/v1/audio`` do not exist: 404, as on an older server.
- Models are evicted only by their time, never for room.
"""

from __future__ import annotations
