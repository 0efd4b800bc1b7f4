"""What a server computes on, read from its log, and what keeps cards from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from launcher.domain.checks import ComputeDevice
from launcher.server.graphics import cards, closed_device, devices, found_by_server, hidden_by

_LOG = Path(__file__).parents[1] / "recordings" / "logs" / "pull-parts-cut.log"
_LINE = 'time=2026-11-21T05:40:49.666Z level=INFO source=types.go:50 msg="inference compute"'
_CUDA = (
    f'{_LINE} id=GPU-1 filter_id="" library=CUDA compute=8.9 name=CUDA0 description="NVIDIA GeForce RTX 4090" '
    'libdirs=ollama,cuda_v13 driver=13.0 pci_id=0000:01:00.0 type=discrete total="24.0 GiB" available="23.1 GiB"'
)
_BEGIN = 'time=2026-11-21T05:40:48.000Z level=INFO source=routes.go:1951 msg="server config" env="map[]"'


def test_a_recorded_log() -> None:
    assert found_by_server(_LOG) == (ComputeDevice("cpu", "cpu", "23.5 GiB"),)


def test_no_log_and_no_word() -> None:
    assert found_by_server(_LOG / "nothing") is None
    assert devices([_BEGIN]) is None


@pytest.mark.parametrize(
    ("lines", "names"),
    [
        pytest.param([_BEGIN, _CUDA], ["NVIDIA GeForce RTX 4090"], id="one"),
        pytest.param([_BEGIN, _CUDA, _CUDA.replace("4090", "3060")], ["4090", "3060"], id="two"),
        pytest.param([_CUDA, _BEGIN, _CUDA.replace("4090", "3060")], ["3060"], id="of the last start"),
        pytest.param([_LINE + ' library=CUDA name="half a line'], [""], id="broken line"),
    ],
)
def test_lines(lines: list[str], names: list[str]) -> None:
    found = devices(lines)
    assert found is not None
    assert len(found) == len(names)
    assert all(name in device.name for name, device in zip(names, found, strict=True))


@pytest.mark.parametrize(
    ("environ", "hidden"),
    [
        pytest.param({}, (), id="nothing"),
        pytest.param({"CUDA_VISIBLE_DEVICES": "0"}, (), id="one is left"),
        pytest.param({"CUDA_VISIBLE_DEVICES": "-1"}, ("CUDA_VISIBLE_DEVICES=-1",), id="hidden"),
    ],
)
def test_variables_that_hide_cards(environ: dict[str, str], hidden: tuple[str, ...]) -> None:
    assert hidden_by(environ) == hidden


def test_this_machine_can_be_asked() -> None:
    assert all(cards())
    assert isinstance(closed_device(), str)
