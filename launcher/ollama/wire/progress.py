"""The lines in which the server tells how far a pull, a push or a create is."""

from __future__ import annotations

from launcher.ollama.wire.fields import Text, Wire


class Progress(Wire):
    """One line of ``/api/pull``, ``/api/push`` or ``/api/create``. Zeros are left out: no ``completed`` means 0.

    ``completed`` may fall (a failed part is rolled back), and the last line of a layer is usually below its ``total``.
    Both are bytes. ``digest`` is not always one: a quantization calls itself ``0000000000000000000``.
    """

    status: Text = ""
    """``success`` in the last line, and only there."""
    digest: str | None = None
    total: int | None = None
    completed: int | None = None
