"""
Lost: rows that LOCAL had when the batch was read, and has no more.

A run in the other direction takes the reference along with a row that it deletes. References are looked up after rows
were read, so such a row has none, as if it were new.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from django.db.models import Model

from synchro.keys import Key, key_fields
from synchro.replay.identify import Identities, keeps_references
from synchro.replay.link import Link
from synchro.replay.read import Rows, select


def forget_lost(
    link: Link, by_model: Mapping[type[Model], Collection[Key]], rows: Rows, identities: Identities
) -> None:
    """Have `rows` know no more of those that look new and that LOCAL has lost; all of them are identified."""
    for model, keys in by_model.items():
        if keeps_references(model):
            known = identities.known(model)
            new = [key for key in rows.present(model, keys) if known[key].remote is None]
            own = key_fields(model)
            still = {key for (key,) in select(link.local, model, own, own, [(key,) for key in new])}
            rows.forget(model, [key for key in new if key not in still])
