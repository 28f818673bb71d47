"""Postpone: note what this process cannot read, say that it waits, and forget it where a person says so."""

from __future__ import annotations

from django.db.models import Max
from django.utils.translation import gettext as _

from synchro.conf import LOCAL
from synchro.exceptions import NotConfigured
from synchro.models import ChangeLog, Node
from synchro.replay.log.batches import locked_node, own_node
from synchro.replay.log.unread import Standing, Unread, name_of, standing_of
from synchro.replay.session import Database, Session


def postpone(unread: Unread) -> None:
    """Note on LOCAL what was not read of a batch, before REMOTE's commit lets the batch count as arrived."""
    if not unread or Unread.from_text(own_node(LOCAL).unread).covers(unread):
        return
    with locked_node() as node:
        known = Unread.from_text(node.unread)
        known.join(unread)
        node.unread = known.to_text()
        node.save(using=LOCAL, update_fields=["unread"])


def warn_of_unread(session: Session, node: Node) -> None:
    """Say what waits on LOCAL, whose own row is `node`, for a process that can read it."""
    for type_id, span in Unread.from_text(node.unread).spans.items():
        standing, _model = standing_of(session.local, type_id)
        if standing is Standing.WATCHED:
            continue  # logged or noted while this run was at work
        session.warn(
            _(
                "%(count)d entries of %(model)s wait in the log, since this process does not watch that model. A run "
                "that does, with %(model)s in SYNCHRO_MODELS, replays them. If it is not to be synchronized any more, "
                "drop them: synchronize --forget %(model)s."
            )
            % {"count": span.entries, "model": name_of(session.local, type_id)}
        )


def forget(label: str) -> int:
    """
    Drop the entries of a model that this process does not watch, as far as runs have met them; return how many.

    Raises `NotConfigured` where the model is watched, or nothing of it waits.
    """
    side = Database(LOCAL)
    with locked_node() as node:
        known = Unread.from_text(node.unread)
        names = {name_of(side, type_id).lower(): type_id for type_id in known.spans}
        type_id = names.get(label.lower())
        if type_id is None:
            text = (
                _("No entries of %(model)s wait in the log. Entries of these models do: %(names)s.")
                if names
                else _("No entries of %(model)s wait in the log, nor of any other model.")
            )
            raise NotConfigured(text % {"model": label, "names": ", ".join(sorted(names))})
        if standing_of(side, type_id)[0] is Standing.WATCHED:
            raise NotConfigured(
                _(
                    "%(model)s is watched, so its entries are not dropped: run synchronize, which replays them."
                )
                % {"model": label}
            )
        return _drop(node, known, type_id)


def _drop(node: Node, known: Unread, type_id: int) -> int:
    log = ChangeLog.objects.using(LOCAL).filter(Unread({type_id: known.spans[type_id]}).condition())
    count = log.count()
    # The entry with the highest id stays, since it says that the log was not emptied (see `batches`).
    newest = ChangeLog.objects.using(LOCAL).aggregate(highest=Max("id"))["highest"]
    log.exclude(id__in=[node.highest, newest])._raw_delete(LOCAL)
    del known.spans[type_id]
    node.unread = known.to_text()
    node.save(using=LOCAL, update_fields=["unread"])
    return count
