"""A load of which nothing is written: how many rows would be sent."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable

from django.db.models import Model

from synchro import stopping
from synchro.conf import conf
from synchro.load.progress import Loaded, Progress
from synchro.load.ranges import Ranges
from synchro.replay.apply.load.keys import count_rows, end_of_fitting_rows, has_rows, keys_of_part
from synchro.replay.handshake import look_at
from synchro.replay.log.loads import part_between
from synchro.replay.rows import Rows
from synchro.replay.session import Database, Databases, Session, own_settings, reachable
from synchro.verify.expected import compare_rows
from synchro.verify.explained import in_quarantine


def dry_load(alias: str, models: Iterable[type[Model]], progress: Progress | None) -> list[Loaded]:
    """Return how many rows of these models a load would send to the database `alias`."""
    databases, found = Databases(Database(alias)), []
    for model in models:
        if stopping.is_asked():
            break
        with reachable(databases), own_settings(databases):
            found.append(_dry_load(look_at(databases), model, progress))
    return found


def _dry_load(session: Session, model: type[Model], progress: Progress | None) -> Loaded:
    done, begun = Loaded(model, count_rows(session.local, model)), time.monotonic()
    if not has_rows(session.remote, model, None, None):
        done.rows = done.sent = done.total
        return done
    ranges = Ranges(session, model)
    done.equal += ranges.equal
    done.rows += ranges.equal
    after = ranges.start(None)
    while (end := end_of_fitting_rows(session.local, model, after, conf.batch_size)) is not None:
        if ranges.is_done(end, after) or stopping.is_asked():
            break
        part = part_between(session.local, model, after, ranges.end(after, end))
        different = compare(session, model, keys_of_part(session.local, part), done)
        done.sent += len(different)
        done.seconds, done.rows_in_time = time.monotonic() - begun, done.rows
        if progress is not None:
            progress(done)
        after = ranges.start(part.upto)
    return done


def compare(session: Session, model: type[Model], keys: Collection[object], done: Loaded) -> list[object]:
    """Return those of these rows that REMOTE lacks or has otherwise, and count them all."""
    rows, found = compare_rows(session, model, keys, Rows(session.local), Rows(session.remote))
    different = [each.key for each in found if each.key is not None]
    left = in_quarantine(session, model, different)
    done.rows += rows
    done.equal += rows - len(different)
    done.left += len(left)
    return [key for key in different if key not in left]
