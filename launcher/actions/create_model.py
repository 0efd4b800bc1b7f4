"""Make a model of what a Modelfile says: find the files it names, give them to the server, have the model made.

Which files of a folder belong to a model is decided as Ollama's own command line does it (parser/parser.go
filesForModel, 0.33).
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from launcher.domain.modelfile import Modelfile
from launcher.domain.names import InvalidModelName, ModelName
from launcher.errors import InvalidInput
from launcher.tasks import run_blocking

if TYPE_CHECKING:
    from launcher.ollama import Client

_WEIGHTS: tuple[tuple[str, ...], ...] = (
    ("model*.safetensors", "*/model*.safetensors"),
    ("consolidated*.safetensors",),
    ("adapter_model*.safetensors", "adapters.safetensors"),
    ("pytorch_model*.bin",),
    ("consolidated*.pth",),
    ("*.gguf",),
    ("*.bin",),
)
"""The first row of which something is there."""
_BESIDES = ("*.json", "*/*.json", "chat_template.jinja")
_TOKENIZERS = ("tokenizer.model", "*/tokenizer.model")
_ENDINGS_OF_FILES = (".gguf", ".safetensors", ".bin", ".pth")
_POINTER = b"version https://git-lfs.github.com/"


class InvalidSource(InvalidInput):
    """What a model is to be made from is not there, or is no model."""


@dataclass(frozen=True, slots=True)
class Step:
    """How far the making of a model is. ``status`` is a sentence without its full stop, or the server's own words."""

    status: str
    completed_bytes: int | None = None
    total_bytes: int | None = None
    digest: str = ""
    making: bool = False
    """True: the server has all it needs and makes the model. False: files are still read and sent."""


@dataclass(frozen=True, slots=True)
class Sources:
    """What FROM and ADAPTER turned out to be: files by the names that the server gets to see."""

    model: str | None
    """The name of a model; None where there are files."""
    files: Mapping[str, Path]
    adapters: Mapping[str, Path]


def find_sources(modelfile: Modelfile, folder: Path) -> Sources:
    """Look what is named; paths are meant from ``folder``. Blocks. Raises InvalidSource and InvalidModelName."""
    models: list[str] = []
    files: dict[str, Path] = {}
    for source in modelfile.sources:
        found = _files_of(source, folder)
        if found is None:
            models.append(ModelName.parse(source).display)
        elif twice := files.keys() & found.keys():
            raise InvalidSource(f"Two files are called {min(twice)}.", hint="Give one of them another name.")
        else:
            files.update(found)
    if len(models) + bool(files) > 1:
        raise InvalidSource(
            f"A model can be made from one model, or from files: {', '.join(modelfile.sources)} is too much.",
            hint="Is a path misspelt? What is not there as a file is taken for the name of a model.",
        )
    adapters: Mapping[str, Path] = {}
    if modelfile.adapter is not None:
        of_adapter = _files_of(modelfile.adapter, folder)
        if of_adapter is None:
            raise InvalidSource(f"There is no adapter {modelfile.adapter}.", hint="ADAPTER names a file or a folder.")
        adapters = of_adapter
    return Sources(models[0] if models else None, files, adapters)


async def create_model(
    client: Client, name: str, modelfile: Modelfile, folder: Path, *, quantize: str | None = None
) -> AsyncGenerator[Step, None]:
    """Make the model ``name``; yields how far that is, and ends when it is made. One of that name is replaced.

    Closing the generator stops it: what was sent is then kept by the server until it cleans up, when it starts.
    Raises InvalidSource, InvalidModelName and what the client raises.
    """
    sources = await run_blocking(partial(find_sources, modelfile, folder))
    digests: dict[Path, str] = {}
    for path in dict.fromkeys([*sources.files.values(), *sources.adapters.values()]):
        async with aclosing(client.create_blob(path)) as blobs:
            async for blob in blobs:
                status = f"sending {path.name}" if blob.digest else f"reading {path.name}"
                yield Step(status, blob.completed_bytes, blob.total_bytes, blob.digest)
                if blob.digest:
                    digests[path] = blob.digest
    lines = client.create(
        name,
        from_=sources.model,
        files={shown: digests[path] for shown, path in sources.files.items()} or None,
        adapters={shown: digests[path] for shown, path in sources.adapters.items()} or None,
        quantize=quantize,
        template=modelfile.template,
        system=modelfile.system,
        license=modelfile.licenses or None,
        parameters=dict(modelfile.parameters) or None,
        messages=[{"role": turn.role, "content": turn.text} for turn in modelfile.messages] or None,
        renderer=modelfile.renderer,
        parser=modelfile.parser,
        requires=modelfile.requires,
    )
    async with aclosing(lines):
        async for line in lines:
            yield Step(line.status, line.completed, line.total, line.digest or "", making=True)


def _files_of(source: str, folder: Path) -> dict[str, Path] | None:
    """The files that a text names, if it is a path; None: it can only be the name of a model."""
    path = folder / os.path.expanduser(source)
    if path.is_dir():
        return _files_in(path)
    if path.exists():
        _check_whole(path)
        return {path.name: path}
    try:
        ModelName.parse(source)
    except InvalidModelName:
        named = False
    else:
        named = True
    if not named or source.startswith((".", "~")) or source.lower().endswith(_ENDINGS_OF_FILES):
        raise InvalidSource(f"There is no file {path}.", hint="A path is meant from the folder of the Modelfile.")
    return None


def _files_in(folder: Path) -> dict[str, Path]:
    weights = next((found for patterns in _WEIGHTS if (found := _matching(folder, patterns))), [])
    if not weights:
        raise InvalidSource(
            f"There is no model in the folder {folder}.",
            hint="It has neither safetensors nor GGUF nor PyTorch files.",
        )
    tokenizers = next((found for pattern in _TOKENIZERS if (found := _matching(folder, (pattern,)))), [])
    files: dict[str, Path] = {}
    for path in (*weights, *_matching(folder, _BESIDES), *tokenizers):
        if not path.resolve().is_relative_to(folder.resolve()):
            raise InvalidSource(
                f"{path} is a link that leads out of the folder.",
                hint="Copy the model; for Hugging Face: download it with --local-dir.",
            )
        _check_whole(path)
        files[path.relative_to(folder).as_posix()] = path
    return files


def _matching(folder: Path, patterns: Iterable[str]) -> list[Path]:
    return [path for pattern in patterns for path in sorted(folder.glob(pattern)) if path.is_file()]


def _check_whole(path: Path) -> None:
    """Refuse what git has put in the place of a large file."""
    try:
        with path.open("rb") as file:
            begin = file.read(len(_POINTER))
    except OSError as error:
        raise InvalidSource(f"The file {path} cannot be read: {error.strerror or error}.", detail=str(error)) from error
    if begin == _POINTER:
        raise InvalidSource(f"{path} is not the file itself but a reference to it.", hint="Fetch it: git lfs pull")
