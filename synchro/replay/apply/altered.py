"""
Find values that a driver changed on their way, because its objects do not hold all that the database holds.

An array of PostgreSQL may begin at another index than 1 and may hold JSON null beside NULL, and its elements have all
that makes values of other columns hard to read. So what REMOTE holds afterwards is compared with what LOCAL holds, as
the servers spell it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from django.db.models import Model
from django.utils.translation import gettext as _

from synchro.exceptions import Refused
from synchro.keys import AnyField, Key, key_fields
from synchro.registry import Table
from synchro.replay.columns import Codec, is_plain
from synchro.replay.identity.identities import Identities
from synchro.replay.plan import Plan
from synchro.replay.quarantine.remote_table import refused_for
from synchro.replay.rows import Rows, as_key, encode_keys
from synchro.replay.session import Database, Session


def is_checked(field: AnyField) -> bool:
    """Whether the column is of a type that a package of Django's own adds to Django's types."""
    return not is_plain(field) and type(field).__module__.startswith("django.contrib.")


def refuse_altered(session: Session, plan: Plan, rows: Rows, identities: Identities) -> None:
    """Raise `Refused` where REMOTE does not hold what was written as LOCAL does."""
    if any(is_checked(field) for model in plan.writes for field in Table(model).fields):
        _compare(session, plan, rows, identities)


def _compare(session: Session, plan: Plan, rows: Rows, identities: Identities) -> None:
    spelled = session.local.backend.spelled_alike(session.remote.connection)
    if spelled is None:
        return
    found = [
        refused
        for model in plan.writes
        for refused in _altered(session, plan, rows, identities, model, spelled)
    ]
    if found:
        raise Refused(str(found[0]), [culprit for refused in found for culprit in refused.culprits])


def _altered(
    session: Session, plan: Plan, rows: Rows, identities: Identities, model: type[Model], spelled: str
) -> Iterator[Refused]:
    fields = [field for field in Table(model).fields if is_checked(field)]
    if not fields:
        return
    remote = {key: identities.of(model, key).remote for key in plan.writes[model]}
    local_texts = _texts(session.local, model, fields, list(remote), spelled)
    remote_texts = _texts(session.remote, model, fields, list(remote.values()), spelled)
    present = Rows(session.local)
    for key, names in plan.writes[model].items():
        if key not in local_texts or remote[key] not in remote_texts:
            continue
        for place, field in enumerate(fields):
            if names is not None and field.name not in names:
                continue
            is_same = local_texts[key][place] == remote_texts[remote[key]][place]
            # Unless LOCAL's row has changed since it was read: then there is an entry more.
            if not is_same and present.load(model, [key]).get(key) == rows.load(model, [key]).get(key):
                cause = _("REMOTE would not hold the value as LOCAL does")
                yield refused_for(model, key, [field.name], cause)


def _texts(
    database: Database, model: type[Model], fields: Sequence[AnyField], keys: Collection[Key], spelled: str
) -> Mapping[Key, Sequence[str | None]]:
    """What these columns hold, as the server spells it."""
    own = key_fields(model)
    columns, names = [field.column for field in own], [field.column for field in fields]
    found = database.backend.select(
        model._meta.db_table,
        [*columns, *names],
        columns,
        encode_keys(model, keys, database),
        spelled=dict.fromkeys(names, spelled),
    )
    codec = Codec(own, database.connection)
    return {as_key(codec.decode(row[: len(own)])): row[len(own) :] for row in found}
