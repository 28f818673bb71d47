"""Programs of a database server on this machine, and how to run them as a user who is not root."""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.backends import sid
from tests.backends.errors import BackendError

# Test databases of a whole run fit in this; below, they go to the disk.
ENOUGH_MEMORY = 6 * 2**30
PREFIX = "synchro-tests-"


@dataclass(frozen=True)
class Installation:
    """One version of one server: where its programs are, and who may run them."""

    user: str
    # The root folder that the programs see.
    root: Path = Path("/")

    def command(self, program: str, *arguments: str) -> list[str]:
        """The command that runs `program` as the installation's user, or as oneself where one is not root."""
        if self.root != Path("/"):
            return sid.command(self.root, self.user, program, *arguments)
        if os.geteuid() != 0:
            return [program, *arguments]
        owner = pwd.getpwnam(self.user)
        ids = [f"--reuid={owner.pw_uid}", f"--regid={owner.pw_gid}", "--clear-groups"]
        return ["setpriv", *ids, "--", program, *arguments]

    def seen(self, path: Path) -> str:
        """The name that `path` has for the programs."""
        return f"/{path.relative_to(self.root)}"

    def new_folder(self, name: str) -> Path:
        """A fresh folder that belongs to the programs' user, in memory where there is plenty."""
        folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{name}-", dir=self._place()))
        folder.chmod(0o755)
        if os.geteuid() == 0:
            uid, gid = self._owner()
            os.chown(folder, uid, gid)
        return folder

    def _place(self) -> Path:
        if self.root != Path("/"):
            return self.root / "srv"
        memory = Path("/dev/shm")
        roomy = memory.is_dir() and shutil.disk_usage(memory).free >= ENOUGH_MEMORY
        return memory if roomy and os.access(memory, os.W_OK) else Path(tempfile.gettempdir())

    def _owner(self) -> tuple[int, int]:
        for line in (self.root / "etc/passwd").read_text().splitlines():
            name, _password, uid, gid, *_rest = line.split(":")
            if name == self.user:
                return int(uid), int(gid)
        raise BackendError(f"there is no user {self.user} in {self.root / 'etc/passwd'}")


def existing_user(*names: str) -> str:
    """The first of `names` that is a user of this machine. Raises `BackendError` if none is."""
    known = {entry.pw_name for entry in pwd.getpwall()}
    for name in names:
        if name in known:
            return name
    raise BackendError(f"none of the users {', '.join(names)} exists")
