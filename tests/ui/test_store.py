"""The store drops equals, remembers the last of each kind and belongs to one thread."""

from __future__ import annotations

from dataclasses import replace

import pytest

from launcher.domain.models import Models
from launcher.domain.settings import Settings
from launcher.tasks import run_blocking
from launcher.ui.store import Store

pytestmark = pytest.mark.anyio


def _heard(store: Store) -> list[object]:
    heard: list[object] = []
    for signal in (store.server_changed, store.models_changed, store.transfers_changed, store.settings_changed):
        signal.connect(heard.append)
    return heard


def test_nothing_is_known_at_first(store: Store) -> None:
    assert (store.server, store.models, store.transfers, store.settings) == (None, None, (), None)


def test_each_kind_has_its_own_place_and_signal(store: Store, make_status, make_transfer) -> None:
    heard = _heard(store)
    snapshots = [make_status(), Models(None, None), (make_transfer(),), Settings()]

    for snapshot in snapshots:
        store.put(snapshot)

    assert heard == snapshots
    assert [store.server, store.models, store.transfers, store.settings] == snapshots


def test_equal_snapshots_are_not_announced_again(store: Store, make_status, make_transfer) -> None:
    heard = _heard(store)

    for _ in range(2):
        store.put(make_status())
        store.put(Models((), ()))
        store.put((make_transfer(),))
        store.put(Settings())

    assert len(heard) == 4


def test_the_first_empty_queue_says_nothing_new(store: Store, make_transfer) -> None:
    heard = _heard(store)
    store.put(())
    assert heard == []

    store.put((make_transfer(),))
    store.put(())
    assert heard[-1] == ()


def test_sizes_above_two_gigabytes_arrive_whole(store: Store, make_transfer) -> None:
    heard = _heard(store)
    big = replace(make_transfer(), completed_bytes=5_000_000_000, total_bytes=2**40)

    store.put((big,))

    assert heard == [(big,)]


async def test_another_thread_is_refused(store: Store, make_status) -> None:
    heard = _heard(store)

    with pytest.raises(RuntimeError, match="outside the thread"):
        await run_blocking(store.put, make_status(), timeout_s=5.0)

    assert heard == []
    assert store.server is None
