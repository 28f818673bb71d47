"""The interface of a rival."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from benchmarks.rivals.databases import Server


class Rival(ABC):
    name: ClassVar[str]
    #: What has to be installed: programs, and Debian's packages with them.
    programs: ClassVar[tuple[str, ...]]
    packages: ClassVar[tuple[str, ...]]

    def __init__(self, server: Server, folder: Path) -> None:
        #: `folder` is for its own files.
        self.server, self.folder = server, folder
        prefix = type(self).__name__.lower()
        self.source, self.target = f"peers_{prefix}_source", f"peers_{prefix}_target"

    @abstractmethod
    def begin(self) -> None:
        """Make the two databases, and replicate the table from one to the other from now on."""

    @abstractmethod
    def set_up(self) -> None:
        """Make the two databases, and the triggers that write down what changes, without anything that reads it."""

    @abstractmethod
    def end(self) -> None:
        """Stop, also after half a `begin`."""

    def kick(self) -> None:  # noqa: B027
        """Say that there are changes, where it does not look by itself."""
