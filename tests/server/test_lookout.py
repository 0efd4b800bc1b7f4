"""What is seen while another launcher is at work between two looks."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from launcher.domain.address import Address
from launcher.domain.server import Recorded
from launcher.ollama import Client
from launcher.server.lookout import Lookout
from launcher.server.record import RecordFile, ServerRecord, Wanted
from tests.support.processes import Family

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform == "win32", reason="programs are made of scripts"),
    pytest.mark.blocks_loop("starting a process waits for a processor, up to 200 ms on a busy machine"),
]


class Overtaken(RecordFile):
    """A record that another launcher writes right after it was read for the first time."""

    def __init__(self, path: Path, others: Callable[[], None]) -> None:
        super().__init__(path)
        self._others: Callable[[], None] | None = others

    def read(self) -> ServerRecord | None:
        found = super().read()
        others, self._others = self._others, None
        if others is not None:
            others()
        return found


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        pytest.param(Wanted.STOPPED, Recorded.NOTHING, id="stopped by another launcher"),
        pytest.param(Wanted.RUNNING, Recorded.ENDED, id="by itself"),
    ],
)
async def test_an_end_that_is_wished_between_two_looks(
    family: Family, tmp_path: Path, wanted: Wanted, expected: Recorded
) -> None:
    child = await family.start("say('up'); forever()", says="up")
    record = family.record(child, address="http://127.0.0.1:5000", bind="127.0.0.1:5000")
    path = tmp_path / "server.json"
    RecordFile(path).write(record)
    await family.end()

    def others() -> None:
        RecordFile(path).write(replace(record, wanted=wanted))

    address = Address.parse("127.0.0.1:5000")
    async with Client(address) as client:
        lookout = Lookout(
            client=client,
            address=address,
            record_file=Overtaken(path, others),
            find=lambda: None,
            probe_s=0.1,
            overdue_s=1.0,
        )
        assert lookout.glance().recorded is expected
