"""A blob that a client uploads: written to the disk as it comes, under a name that is not yet its digest.

As ``NewLayer`` (manifest/layer.go, 0.33) does it. Knows no route.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from typing import IO

from launcher.demo.store import ModelsFolder


class Upload:
    """The body of one upload. One that is not wanted is read and forgotten."""

    def __init__(self, folder: ModelsFolder, *, is_wanted: bool) -> None:
        self.is_wanted = is_wanted
        self._folder = folder
        self._hash = hashlib.sha256()
        self._file: IO[bytes] | None = None
        self._failure: OSError | None = None
        if is_wanted:
            with self._remembered():
                self._file = folder.open_new_blob()  # closed by close(), which ends every upload

    def write(self, data: bytes) -> None:
        """Take the next bytes; what goes wrong is told by ``keep``, when there is somebody to tell."""
        if self._file is None or self._failure is not None:
            return
        with self._remembered():
            self._file.write(data)
            self._hash.update(data)

    def keep(self) -> str:
        """Make what came a blob under its own digest, and give that; OSError where it could not be written."""
        digest = f"sha256:{self._hash.hexdigest()}"
        if self._file is not None:
            with self._remembered():
                self._file.close()
                self._folder.adopt_blob(self._file.name, digest)
        if self._failure is not None:
            raise self._failure
        return digest

    def close(self) -> None:
        """Remove what is there under no name of its own."""
        if self._file is None:
            return
        with contextlib.suppress(OSError):
            self._file.close()
        with contextlib.suppress(OSError):
            os.remove(self._file.name)
        self._file = None

    @contextlib.contextmanager
    def _remembered(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._failure = self._failure or error
