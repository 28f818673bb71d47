"""Whether anybody still writes: LOCAL's log is watched, nobody is stopped."""

from __future__ import annotations

import time

from synchro.conf import LOCAL
from synchro.follow import newest_entry
from synchro.models import ChangeLog
from synchro.replay.session import Database


class LogWatch:
    """Since when LOCAL's log has been quiet."""

    def __init__(self) -> None:
        self._newest = newest_entry()
        self._since = time.monotonic()

    def quiet_for(self) -> float:
        """Return for how many seconds no entry came and no transaction was open that may bring one."""
        if self.has_grown() or Database(LOCAL).backend.writers(ChangeLog._meta.db_table):
            self._since = time.monotonic()
        return time.monotonic() - self._since

    def has_grown(self) -> bool:
        """Return whether an entry came since this was last asked."""
        before, self._newest = self._newest, newest_entry()
        if before != self._newest:
            self._since = time.monotonic()
        return before != self._newest
