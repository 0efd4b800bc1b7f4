"""What all routes of one server share, and how a route refuses. Answers nothing itself."""

from __future__ import annotations

from dataclasses import dataclass

from launcher.demo.download import Downloads
from launcher.demo.faults import AnswerFaults
from launcher.demo.golang import GoError
from launcher.demo.http import JSON_TYPE
from launcher.demo.registry import Registry
from launcher.demo.runners import Runners
from launcher.demo.script import Script
from launcher.demo.store import Installed, ModelsFolder, go_errno
from launcher.domain.names import InvalidModelName, ModelName


class Refused(Exception):
    """A request is answered with an error."""

    def __init__(self, status: int, text: str, content_type: str = JSON_TYPE, **members: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.content_type = content_type
        self.members = members
        """What the answer holds beside ``error``."""


@dataclass(slots=True)
class World:
    """One server: its models, its registry, what is loaded, and what it was told."""

    script: Script
    folder: ModelsFolder
    registry: Registry
    downloads: Downloads
    runners: Runners
    faults: AnswerFaults
    no_prune: bool
    no_cloud: bool
    guards_host: bool

    def read(self, name: ModelName, missing: Refused) -> Installed:
        """Read an installed model, whatever the case of its name."""
        try:
            return self.folder.read(self.folder.existing(name))
        except FileNotFoundError:
            raise missing from None
        except GoError as error:
            raise Refused(500, str(error)) from None


def parse_name(text: str, refused: Refused) -> ModelName:
    """Read the name of a model, or refuse."""
    try:
        return ModelName.parse(text)
    except InvalidModelName:
        raise refused from None


def worded(error: OSError) -> str:
    """Word an error of the operating system as Go does, with its file."""
    return f"open {error.filename}: {go_errno(error)}" if error.filename else go_errno(error)
