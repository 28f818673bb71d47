"""Load: bring the rows that exist to one REMOTE, by ranges of keys."""

from __future__ import annotations

from collections.abc import Collection

from django.contrib.contenttypes.models import ContentType
from django.db.models import Model

from synchro.load.dry import dry_load
from synchro.load.loader import RangeLoader
from synchro.load.progress import Loaded, Progress
from synchro.registry import standing_tables
from synchro.relations import parents_first
from synchro.replay import run
from synchro.shared_tables import stands_for

__all__ = ["Loaded", "Progress", "load"]


def load(
    alias: str,
    models: Collection[type[Model]] = (),
    *,
    dry_run: bool = False,
    restart: bool = False,
    progress: Progress | None = None,
) -> list[Loaded]:
    """
    Bring the rows of all watched models, or of these `models`, to the database `alias`; return what was done.

    Parents come before children, in numbered batches, each with its receipt. What others write meanwhile arrives too,
    in whatever order. Rows that are equal already are not written. A row that REMOTE has changed itself and has not
    sent is a conflict, in which REMOTE's change counts as the newer one. A load that was interrupted goes on where it
    was; with `restart` it begins anew.

    With `dry_run` nothing is written. Raises what a run raises.
    """
    ContentType.objects.clear_cache()
    named = {stands_for(model) for model in models}
    wanted = parents_first([table.model for table in standing_tables() if not named or table.model in named])
    if dry_run:
        return dry_load(alias, wanted, progress)
    loader = RangeLoader(wanted, restart=restart, progress=progress)
    run.load(alias, loader)
    return loader.results()
