"""Whose server it is, by what a process shows."""

from __future__ import annotations

import os
import socket
import sys

import pytest

from launcher.domain.server import Owner
from launcher.server.owner import by_signs, ownership
from launcher.server.port import Holder, port_holder

_USER = "0::/user.slice/user-1000.slice/user@1000.service/app.slice"


@pytest.mark.parametrize(
    ("signs", "expected"),
    [
        pytest.param({"control_group": "0::/system.slice/ollama.service"}, "system_service", id="service"),
        pytest.param({"control_group": "0::/system.slice/llm.service", "other_user": True}, "system_service", id="own"),
        pytest.param({"control_group": f"{_USER}/ollama.service"}, "user_service", id="user service"),
        pytest.param({"control_group": f"{_USER}/app-org.kde.konsole@1.service"}, "unknown", id="terminal of KDE"),
        pytest.param({"control_group": f"{_USER}/vte-spawn-1.scope"}, "unknown", id="terminal of GNOME"),
        pytest.param({"control_group": "0::/user.slice/user-1000.slice/session-3.scope"}, "unknown", id="ssh"),
        pytest.param({"control_group": "0::/system.slice/docker-4f.scope"}, "container", id="docker"),
        pytest.param({"control_group": "0::/machine.slice/libpod-4f.scope"}, "container", id="podman"),
        pytest.param({"other_root": True}, "container", id="file system of its own"),
        pytest.param({"executable": "/snap/ollama/4/bin/ollama", "other_root": True}, "system_service", id="snap"),
        pytest.param(
            {"executable": "/Applications/Ollama.app/Contents/Resources/ollama"}, "official_app", id="app of macOS"
        ),
        pytest.param({"parent": "ollama app.exe"}, "official_app", id="app of Windows"),
        pytest.param({"other_user": True}, "other_user", id="other user"),
        pytest.param({}, "unknown", id="nothing shows"),
    ],
)
def test_by_signs(signs: dict[str, object], expected: str) -> None:
    plain: dict[str, object] = {
        "control_group": "",
        "executable": "/usr/bin/ollama",
        "parent": "bash",
        "other_root": False,
        "other_user": False,
    }
    owner, unit = by_signs(**{**plain, **signs})  # type: ignore[arg-type]  # one table for all
    assert owner.value == expected
    assert not unit or unit.endswith(".service")


@pytest.mark.parametrize(
    ("holder", "owner", "unit"),
    [
        pytest.param(None, None, "", id="nobody is found"),
        pytest.param(Holder(1), None, "", id="nothing is told"),
        pytest.param(Holder(1, user="ollama"), Owner.SYSTEM_SERVICE, "ollama.service", id="the user of the service"),
        pytest.param(Holder(1, user="somebody"), Owner.OTHER_USER, "", id="another user, hidden"),
        pytest.param(Holder(1, pid=os.getpid(), name="docker-proxy"), Owner.CONTAINER, "", id="docker's proxy"),
    ],
)
def test_what_is_hidden(holder: Holder | None, owner: Owner | None, unit: str) -> None:
    found = ownership(holder)
    assert (found and found.owner, found.unit if found else "") == (owner, unit)
    assert found is None or not found.same_user


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's socket table")
def test_a_program_of_ones_own() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        found = ownership(port_holder("127.0.0.1", listener.getsockname()[1]))
    assert found is not None
    assert (found.pid, found.same_user) == (os.getpid(), True)
