"""What REMOTE needs before the site writes there: keys that were never handed out, and the settings to change."""

from __future__ import annotations

from django.db.models import Max

from synchro.backends.inspection import inspection_of
from synchro.conf import LOCAL
from synchro.keys import AnyField, is_automatic
from synchro.registry import watched_tables
from synchro.replay.identity.models import uses_same_key
from synchro.replay.session import Database

SETTINGS = """\
DATABASES["default"], DATABASES["old"] = DATABASES["{alias}"], DATABASES["default"]
SYNCHRO_REMOTE = "old"
"""


def hand_out_keys_above(alias: str) -> None:
    """
    Have REMOTE hand out keys beyond all of its rows.

    Where both have the same keys, also beyond all that LOCAL ever handed out: the key of a row that was deleted is
    known elsewhere, and stays that row's.
    """
    local = inspection_of(Database(LOCAL).connection)
    remote = inspection_of(Database(alias).connection)
    for table in watched_tables():
        key: AnyField = table.model._meta.pk
        if not is_automatic(key):
            continue
        highest = table.model._base_manager.using(alias).aggregate(highest=Max("pk"))["highest"] or 0
        if uses_same_key(table.model):
            highest = max(highest, local.last_key(table.name, key.column))
        remote.hand_out_above(table.name, key.column, highest)


def settings_to_change(alias: str) -> str:
    """Return the lines that make REMOTE the site's database, and keep the old one up to date."""
    return SETTINGS.format(alias=alias)
