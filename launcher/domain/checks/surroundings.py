"""What lies around the server: its key, our own folders, the variables of the environment."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from launcher.domain.checks.check import Check, Verdict
from launcher.domain.checks.words import are
from launcher.domain.server import ANSWERING, Owner, ServerStatus
from launcher.domain.units import format_bytes

SCARCE_STATE_BYTES = 50_000_000


@dataclass(frozen=True, slots=True)
class Key:
    """The key that Ollama signs with."""

    path: str | None
    """None: no home folder is known."""
    exists: bool = False
    ours: bool = True
    user: str | None = None
    """Whose file it is."""
    private: bool = True
    readable: bool = True
    of_other_user: str | None = None
    """The server that answers runs as this user, and has a key of its own."""


def judge_key(key: Key) -> Check:
    purpose = "It is needed to sign in and to publish models."
    if key.of_other_user is not None:
        return Check(
            "key",
            Verdict.NOTE,
            f"The server has the key of its own user ({key.of_other_user}), not yours.",
            detail=purpose,
            hint="Signing in and publishing count for that user.",
        )
    if key.path is None:
        return Check("key", Verdict.UNKNOWN, "Where the key is kept is not known.", hint="Set HOME.")
    if not key.exists:
        return Check(
            "key", Verdict.NOTE, f"There is no key {key.path} yet; Ollama makes it when it first starts.", purpose
        )
    if not key.ours:
        return Check(
            "key",
            Verdict.WARNING,
            f"The key {key.path} belongs to {key.user or 'another user'}.",
            detail=purpose,
            hint=f"Give it to your user: sudo chown $USER {key.path}",
        )
    if not key.readable:
        return Check(
            "key",
            Verdict.WARNING,
            f"The key {key.path} cannot be read.",
            detail=purpose,
            hint=f"Make it readable for you alone: chmod 600 {key.path}",
        )
    if not key.private:
        return Check(
            "key",
            Verdict.WARNING,
            f"Others on this computer may read the key {key.path}.",
            detail=purpose,
            hint=f"Make it private: chmod 600 {key.path}",
        )
    return Check("key", Verdict.OK, f"The key {key.path} is there, and yours alone.")


@dataclass(frozen=True, slots=True)
class OwnFolders:
    """The launcher's own files."""

    state: str | None
    """None: no place for them is known."""
    writable: bool = False
    """Where it does not exist: it can be made."""
    free_bytes: int | None = None
    trouble: tuple[str, ...] = ()
    """What was wrong with our files, each in one sentence."""


def judge_state(folders: OwnFolders, *, local: bool) -> Check:
    if folders.state is None:
        return Check(
            "state",
            Verdict.FAILED if local else Verdict.NOTE,
            "Your home folder is not known, so the launcher has no place for its files.",
            hint="Set HOME, or LAUNCHER_CONFIG_DIR and LAUNCHER_STATE_DIR.",
        )
    if not folders.writable:
        return Check(
            "state",
            Verdict.FAILED if local else Verdict.NOTE,
            f"The launcher may not write to its folder {folders.state}.",
            hint="Give it to your user, or name another one in LAUNCHER_STATE_DIR.",
        )
    if folders.free_bytes is not None and folders.free_bytes < SCARCE_STATE_BYTES:
        return Check(
            "state",
            Verdict.WARNING,
            f"The disk of the launcher's folder {folders.state} is full: {format_bytes(folders.free_bytes)} is free.",
            hint="Make room there, or name another one in LAUNCHER_STATE_DIR.",
        )
    if folders.trouble:
        return Check("state", Verdict.WARNING, folders.trouble[0], detail=" ".join(folders.trouble[1:]))
    return Check("state", Verdict.OK, f"The launcher's files are in {folders.state}.")


# Read by the server (envconfig/config.go, 0.33). OLLAMA_HOST is read by clients, too.
_SERVER_VARIABLES = frozenset(
    f"OLLAMA_{name}"
    for name in re.findall(
        r"\w+",
        "CLOUD_BASE_URL CONTEXT_LENGTH DEBUG DEBUG_LOG_REQUESTS FLASH_ATTENTION GO_TEMPLATE GPU_OVERHEAD IGPU_ENABLE "
        "KEEP_ALIVE KV_CACHE_TYPE LLM_LIBRARY LOAD_TIMEOUT MAX_LOADED_MODELS MAX_QUEUE MAX_TRANSFER_STREAMS MODELS "
        "NOPRUNE NO_CLOUD NUM_PARALLEL ORIGINS REMOTES SCHED_SPREAD VULKAN",
    )
) | {
    "CUDA_VISIBLE_DEVICES",
    "GGML_VK_VISIBLE_DEVICES",
    "GPU_DEVICE_ORDINAL",
    "HIP_VISIBLE_DEVICES",
    "HSA_OVERRIDE_GFX_VERSION",
    "JETSON_JETPACK",
    "ROCR_VISIBLE_DEVICES",
}
_NO_LONGER_READ = frozenset(
    {"OLLAMA_INTEL_GPU", "OLLAMA_MAX_VRAM", "OLLAMA_NEW_ENGINE", "OLLAMA_RUNNERS_DIR", "OLLAMA_TMPDIR"}
)
_SET_WHERE = {
    Owner.SYSTEM_SERVICE: "Set them for the service: sudo systemctl edit ollama, then sudo systemctl restart ollama.",
    Owner.USER_SERVICE: "Set them for the service: systemctl --user edit ollama, then restart it.",
    Owner.OFFICIAL_APP: "Set them in the Ollama app, or for your whole session, and start the app again.",
    Owner.CONTAINER: "Set them where the container is made, e.g. docker run -e OLLAMA_KEEP_ALIVE=30m.",
}


def server_variables(names: Sequence[str]) -> tuple[str, ...]:
    """Those of ``names`` that a server reads, in order."""
    return tuple(sorted(name for name in names if name in _SERVER_VARIABLES or name.startswith("LLAMA_ARG_")))


def no_longer_read(names: Sequence[str]) -> tuple[str, ...]:
    """Those of ``names`` that only older servers read, in order."""
    return tuple(sorted(set(names) & _NO_LONGER_READ))


def judge_variables(
    names: Sequence[str], status: ServerStatus, owner: Owner | None, changed: Sequence[str] | None
) -> Check:
    """``names``: what is set here; ``changed``: what the server was started without, or otherwise (None: not known)."""
    read, old = server_variables(names), no_longer_read(names)
    there = status.state in ANSWERING or status.owner is Owner.OURS
    foreign = there and status.owner is not Owner.OURS
    if foreign and changed is not None:
        read = tuple(name for name in read if name in changed)
    listed = ", ".join(read)
    if foreign and read:
        return Check(
            "variables",
            Verdict.NOTE,
            f"{listed} {_is_set(read)} here, which means nothing to the server that runs: somebody else started it.",
            hint=_SET_WHERE.get(owner or Owner.UNKNOWN, "Set them where it is started, and start it again."),
        )
    if there and not foreign and changed:
        return Check(
            "variables",
            Verdict.NOTE,
            f"{', '.join(changed)} {'was' if len(changed) == 1 else 'were'} changed since the server was started.",
            hint="Restart it from here, if it is to obey",
            command=("restart",),
        )
    if old:
        return Check(
            "variables",
            Verdict.NOTE,
            f"{', '.join(old)} {_is_set(old)}, which today's Ollama no longer reads.",
            detail=f"What it reads is {listed}." if read else "",
            hint="Take it away." if len(old) == 1 else "Take them away.",
        )
    if foreign:
        return Check("variables", Verdict.OK, "Nothing is set here that the server was not started with.")
    if read:
        whom = "The server was started with" if there else "A server that is started here obeys"
        return Check("variables", Verdict.OK, f"{whom} {listed}.")
    return Check("variables", Verdict.OK, "No variable changes how a server works that is started here.")


def _is_set(names: Sequence[str]) -> str:
    return f"{are(names)} set"
