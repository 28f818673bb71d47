"""Reset: forget what was logged, and give this database a node id of its own."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence
from contextlib import ExitStack

from django.apps import apps
from django.contrib.contenttypes.models import ContentType
from django.db import connections, transaction
from django.db.models import Max, Model
from django.utils import timezone

from synchro.account import account
from synchro.backends import backend_for
from synchro.conf import LOCAL, conf
from synchro.keys import is_automatic, key_fields
from synchro.last_check import moved_by_a_run
from synchro.models import Baseline, Batch, ChangeLog, Checkpoint, Node, Reset, SetAside, options
from synchro.origin import refuse_origin
from synchro.pending import all_pending
from synchro.registry import watched_models
from synchro.replay.handshake import recover_arrived
from synchro.replay.session import Database, Databases, run_lock

logger = logging.getLogger(__name__)

#: How many tables one statement asks for.
AT_ONCE = 100


def reset_synchro(by: str = "", *, is_copy: bool = False) -> None:
    """
    Forget all changes logged on LOCAL so far, and give the database a new node id.

    To be called right after LOCAL was loaded from a copy of another database: it also notes how far the keys of
    both are the same. References stay, since they say which rows correspond, and that has not changed; the
    other databases go on with theirs at the next run, by the same notes.

    On a database that is no copy, changes that a REMOTE does not have yet never reach it. How many these were is
    written to the log of the process (a warning of the logger ``synchro.reset``) and kept as a `Reset`, together with
    `by`: who asked for it, by default the account of the process.

    A database that a REMOTE knows as the origin of rows is reset only where the caller says that it is a copy, by
    `is_copy`, or where a REMOTE shows it: the one that it was copied from has the same node id.

    Raises `synchro.exceptions.Busy` during a run, which would go on under the former name, `NotReady` where one was
    interrupted and its REMOTE cannot be reached, and `KnownAsOrigin` where nobody says that it is a copy.
    """
    # A process that goes on while its database is replaced by a copy remembers numbers of the former one.
    ContentType.objects.clear_cache()
    with ExitStack() as stack:
        for alias in conf.remotes:
            databases = Databases(Database(alias))
            stack.enter_context(run_lock(databases))
            recover_arrived(databases)
        if not is_copy:
            refuse_origin()
        done = _forget(by or account())
    logger.warning(
        "Synchronization was reset by %s (this database's node id was %s and is %s). Forgotten: %s.",
        done.by,
        done.former,
        done.current,
        done.forgotten or "nothing that was pending",
    )


def _forget(by: str) -> Reset:
    with transaction.atomic(using=LOCAL):
        node = Node.objects.using(LOCAL).select_for_update().filter(pk=1).first()
        current = uuid.uuid4()
        done = Reset.objects.using(LOCAL).create(
            by=by,
            former=node.uuid if node else None,
            current=current,
            forgotten="; ".join(str(pending) for pending in all_pending() if pending),
        )
        if node is not None:
            _note_baselines(node.uuid)
            _note_batches(node)
        # Straight in the database: a delete that sends signals would read the whole log into memory first.
        ChangeLog.objects.using(LOCAL)._raw_delete(LOCAL)
        Batch.objects.using(LOCAL)._raw_delete(LOCAL)
        Checkpoint.objects.using(LOCAL).all().delete()
        SetAside.objects.using(LOCAL)._raw_delete(LOCAL)
        Node.objects.using(LOCAL).update_or_create(
            pk=1,
            defaults={
                "uuid": current,
                "highest": 0,
                "newest": None,
                "holes": "[]",
                "unread": "{}",
                "batch": 0,
                "forgotten": 0,
                "pruned": 0,
                "pruned_until": None,
                "pruned_upto": None,
            },
        )
        with moved_by_a_run():
            options.last_check = timezone.now()
    return done


def _note_baselines(node: uuid.UUID) -> None:
    """
    Note for each model up to which key this database is a copy of the node that it was.

    Also of models that are not watched, since rows of watched ones may point at theirs; and of the log, since what it
    says is in the copy already.
    """
    counted = _models_with_automatic_keys()
    types = ContentType.objects.db_manager(LOCAL).get_for_models(*counted)
    Baseline.objects.using(LOCAL).filter(node=node, content_type__in=types.values()).delete()
    Baseline.objects.using(LOCAL).bulk_create(
        [
            Baseline(node=node, content_type=types[model], highest=highest)
            for model, highest in _highest_keys(counted).items()
        ],
        batch_size=1000,
    )


def _note_batches(node: Node) -> None:
    """
    Note which batches of the original are in this copy of it, whatever it was made with: those that had been formed
    long before. Of newer ones only a part may be in it, where the copy is not that of one moment.
    """
    contained = node.pruned
    if conf.retention is not None:
        before = backend_for(connections[LOCAL]).now() - conf.retention / 2
        older = Batch.objects.using(LOCAL).filter(formed__lt=before)
        contained = max(contained, older.aggregate(highest=Max("number"))["highest"] or 0)
    content_type = ContentType.objects.db_manager(LOCAL).get_for_model(Batch)
    Baseline.objects.using(LOCAL).update_or_create(
        node=node.uuid, content_type=content_type, defaults={"highest": contained}
    )


def _models_with_automatic_keys() -> list[type[Model]]:
    """Return the models whose tables are there and hand out keys."""
    connection = connections[LOCAL]
    with connection.cursor() as cursor:
        present = set(connection.introspection.table_names(cursor))
    found = []
    for model in {*apps.get_models(), *watched_models()}:
        (key, *more) = key_fields(model)
        if not more and is_automatic(key) and not model._meta.proxy and model._meta.db_table in present:
            found.append(model)
    return found


def _highest_keys(models: Sequence[type[Model]]) -> dict[type[Model], int]:
    """Return the highest key of each model, 0 where there is none, by one statement for many."""
    connection = connections[LOCAL]
    quote = connection.ops.quote_name
    found: dict[type[Model], int] = {}
    with connection.cursor() as cursor:
        for start in range(0, len(models), AT_ONCE):
            part = models[start : start + AT_ONCE]
            cursor.execute(
                " UNION ALL ".join(
                    f"SELECT {number}, MAX({quote(key_fields(model)[0].column)}) FROM {quote(model._meta.db_table)}"
                    for number, model in enumerate(part)
                ),
                None,
            )
            found |= {part[number]: int(highest or 0) for number, highest in cursor.fetchall()}
    return found
