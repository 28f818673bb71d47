"""MariaDB, where it differs from MySQL."""

from __future__ import annotations

import random
import time
from typing import NamedTuple
from uuid import uuid4

from django.db.backends.base.base import BaseDatabaseWrapper

from synchro.backends.base import PREPARED
from synchro.backends.mysql import MySQL

#: After how many seconds without a question MariaDB looks for its open transactions anew. Two replayers that ask in
#: step would keep each other from ever having a new answer.
RENEWED_AFTER, OUT_OF_STEP = 0.11, 0.15

#: In place of the names of writers: they can be known, but not at this moment.
LATER = "later"


class MariaDB(MySQL):
    rounds_json = False
    own_name = "@@server_uid"
    isolation_variable = "tx_isolation"  # transaction_isolation is a variable from MariaDB 11.1 on

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        super().__init__(connection)
        #: When to ask again for the open transactions, by time.monotonic().
        self._ask_after = 0.0

    def writers(self, table: str) -> frozenset[str] | None:
        # A transaction is known by its connection and its start: its own id changes with its first write. Between
        # taking an id and being listed as a transaction, a connection is at work on a statement; so statements are
        # asked for first, and one that has no transaction yet goes by its connection alone.
        if time.monotonic() < self._ask_after:
            return frozenset({LATER})
        statements = self._ask(
            "SELECT id FROM information_schema.processlist WHERE id <> CONNECTION_ID() "
            "AND command NOT IN ('Sleep', 'Daemon', 'Binlog Dump', 'Slave_IO', 'Slave_SQL')",
            [],
        )
        transactions = self._transactions()
        if statements is None or transactions is None:
            return None
        if not transactions.is_new:
            return frozenset({LATER})
        at_work = {str(number) for (number,) in statements} - {
            str(number) for number, _ in transactions.others
        }
        return frozenset(at_work) | {
            f"{number}/{start}" if number else f"{PREPARED}{start}" for number, start in transactions.others
        }

    def _transactions(self) -> _Transactions | None:
        """
        The open transactions but our own; None where this account may not look.

        The server answers from a copy, which it renews only when nobody has asked for a tenth of a second. It is new
        when our own transaction is in it with this very statement. Nobody waits for that: a gap can stay until the
        next question.
        """
        found = self._ask(
            "SELECT trx_mysql_thread_id, CAST(trx_started AS CHAR), trx_mysql_thread_id = CONNECTION_ID(), "
            "COALESCE(LOCATE(%s, trx_query), 0) FROM information_schema.innodb_trx",
            [uuid4().hex],
        )
        if found is None:
            return None
        pause = random.uniform(RENEWED_AFTER, RENEWED_AFTER + OUT_OF_STEP)  # noqa: S311  no secret
        self._ask_after = time.monotonic() + pause
        return _Transactions(
            any(is_own and is_new for _number, _start, is_own, is_new in found),
            [(number, start) for number, start, is_own, _is_new in found if not is_own],
        )

    def still_open(self, then: frozenset[str], now: frozenset[str]) -> frozenset[str]:
        if LATER in now:
            return then
        if LATER in then:  # then anybody may have been one of them
            return now
        at_work = {name for name in then if name.isdigit()}
        return super().still_open(then, now) | {name for name in now if name.split("/")[0] in at_work}


class _Transactions(NamedTuple):
    """What MariaDB says of its open transactions."""

    is_new: bool
    #: The connection and the start of each.
    others: list[tuple[int, str]]
