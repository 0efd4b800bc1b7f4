"""What the core does before its services are built."""

from __future__ import annotations

import ssl
import threading

import pytest

from launcher.core import open_client, open_core
from launcher.ollama import tls

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("opened", [open_client, open_core], ids=["client", "core"])
async def test_certificates_are_read_on_another_thread(opened: type[object], monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[threading.Thread] = []
    create = ssl.create_default_context

    def noted(*args: object, **options: object) -> ssl.SSLContext:
        threads.append(threading.current_thread())
        return create(*args, **options)  # type: ignore[arg-type]  # passed through

    tls._trusted.cache_clear()
    monkeypatch.setattr(ssl, "create_default_context", noted)
    async with opened("https://127.0.0.1:1"):  # type: ignore[call-arg, attr-defined]  # both take a host
        pass

    assert threads
    assert threading.main_thread() not in threads
