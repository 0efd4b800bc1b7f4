"""What there is to examine, and what follows from what was found: facts in, one sentence and a next step out.

Each ``judge_…`` is pure and takes the facts of one check; None as an answer means that the check makes no sense now
(nobody answers whose version could be told). How the facts are found is :mod:`launcher.actions.examine`'s.
"""

from __future__ import annotations

from launcher.domain.checks.check import LABELS, SUBJECTS, Check, Subject, Verdict, broken, hung
from launcher.domain.checks.engine import MADE_FOR, Engine, judge_engine, judge_version
from launcher.domain.checks.graphics import INTEL, ComputeDevice, Graphics, judge_gpu
from launcher.domain.checks.models import (
    FULL_BYTES,
    PRUNED_AFTER_S,
    RUNS_WITHIN_S,
    SCARCE_BYTES,
    ModelsFolder,
    Unfinished,
    judge_downloads,
    judge_models,
    judge_space,
)
from launcher.domain.checks.network import Proxies, Proxy, is_excepted, judge_proxy
from launcher.domain.checks.server import SLOW_MS, Ownership, judge_exposure, judge_owner, judge_port, judge_server
from launcher.domain.checks.surroundings import (
    SCARCE_STATE_BYTES,
    Key,
    OwnFolders,
    judge_key,
    judge_state,
    judge_variables,
    no_longer_read,
    server_variables,
)

__all__ = [
    "FULL_BYTES",
    "INTEL",
    "LABELS",
    "MADE_FOR",
    "PRUNED_AFTER_S",
    "RUNS_WITHIN_S",
    "SCARCE_BYTES",
    "SCARCE_STATE_BYTES",
    "SLOW_MS",
    "SUBJECTS",
    "Check",
    "ComputeDevice",
    "Engine",
    "Graphics",
    "Key",
    "ModelsFolder",
    "OwnFolders",
    "Ownership",
    "Proxies",
    "Proxy",
    "Subject",
    "Unfinished",
    "Verdict",
    "broken",
    "hung",
    "is_excepted",
    "judge_downloads",
    "judge_engine",
    "judge_exposure",
    "judge_gpu",
    "judge_key",
    "judge_models",
    "judge_owner",
    "judge_port",
    "judge_proxy",
    "judge_server",
    "judge_space",
    "judge_state",
    "judge_variables",
    "judge_version",
    "no_longer_read",
    "server_variables",
]
