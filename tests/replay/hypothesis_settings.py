"""How much is left to chance: the settings of the tests that hypothesis drives."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, settings

#: Where two SQLite files make a pair, histories are the longest; elsewhere there are fewer.
_FEW = "6" if os.environ.get("SYNCHRO_TEST_PAIR", "sqlite-sqlite") == "sqlite-sqlite" else "3"
#: The same examples each time. For whoever looks for more: SYNCHRO_TEST_EXAMPLES=1000 takes others. With
#: SYNCHRO_TEST_SHRINK=1 the shortest example that fails is looked for, which takes minutes.
EXAMPLES = int(os.environ.get("SYNCHRO_TEST_EXAMPLES", _FEW))
#: The number of the first of those that have one.
FIRST = int(os.environ.get("SYNCHRO_TEST_FIRST", "0"))
_ASKED_FOR_MORE = "SYNCHRO_TEST_EXAMPLES" in os.environ or os.environ.get("SYNCHRO_TEST_EVERYTHING") == "1"
_ASKED = "SYNCHRO_TEST_SHRINK" in os.environ
PHASES = [phase for phase in Phase if _ASKED or phase not in (Phase.shrink, Phase.explain)]

#: Of what takes a second each: more where all is asked for.
FEW_EXAMPLES = EXAMPLES if _ASKED_FOR_MORE else 2

modest = settings(
    database=None,
    deadline=None,
    derandomize="SYNCHRO_TEST_EXAMPLES" not in os.environ,
    max_examples=EXAMPLES,
    phases=PHASES,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
#: Fewer of these.
sparing = settings(modest, max_examples=FEW_EXAMPLES)
