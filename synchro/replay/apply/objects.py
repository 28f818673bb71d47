"""Write object by object, each by its save(), where a receiver or an overridden method is to run."""

from __future__ import annotations

from functools import partial

from django.db import IntegrityError, transaction
from django.db.models import Model, QuerySet

from synchro.exceptions import Refused
from synchro.keys import Key, key_fields
from synchro.receivers import choice_for, method
from synchro.replay.apply.receivers import on_remote
from synchro.replay.apply.statements import Group, Statements
from synchro.replay.apply.unique import UniqueValues
from synchro.replay.columns import to_attribute
from synchro.replay.identity.identities import Identities
from synchro.replay.identity.models import keeps_references
from synchro.replay.quarantine.diagnosis import Diagnosis, FailedRow
from synchro.replay.quarantine.remote_table import caused_by, row_is_missing
from synchro.replay.rows import as_values
from synchro.replay.session import Session


class Objects:
    def __init__(
        self,
        session: Session,
        identities: Identities,
        statements: Statements,
        swaps: UniqueValues,
        diagnosis: Diagnosis,
    ) -> None:
        self._session, self._identities, self._statements, self._swaps = (
            session,
            identities,
            statements,
            swaps,
        )
        self._diagnosis = diagnosis
        self._connection, self._alias = session.remote.connection, session.remote.alias

    def save(self, group: Group) -> None:
        """Save each object of the group, first those that REMOTE has."""
        try:
            with transaction.atomic(using=self._alias):
                self._save_each(group)
        except Refused as error:
            if not isinstance(error.__cause__, IntegrityError) or not self._swaps.can_make_way(group):
                raise
            # Perhaps they only stand in each other's way: put what is there in order first, then call the receivers.
            changed = group.only(group.old)
            self._swaps.write(changed, error.__cause__, partial(self._statements.update, changed))
            self._save_each(group)

    def _save_each(self, group: Group) -> None:
        for key in [*group.old, *group.new]:
            try:
                with transaction.atomic(using=self._alias), self._statements.unchecked(group):
                    self._save(group, key)
            except Exception as error:  # noqa: BLE001  it is raised again
                failed = FailedRow(self._session, group.model, key, group.rows[key], error)
                refusal = self._diagnosis.of_row(failed)
                if refusal is not None:
                    raise refusal from caused_by(refusal, error)
        self._diagnosis.close()

    def _save(self, group: Group, key: Key) -> None:
        identity = self._identities.of(group.model, key)
        is_new = key in group.new
        with on_remote(self._session, group.model, key, "save") as work:
            instance = work.instance = self._instance(group, key)
            work.is_new = is_new
            for f, value in zip(group.fields, group.rows[key], strict=True):
                if is_new or group.is_written(key, f):
                    setattr(instance, f.attname, to_attribute(f, value, self._connection))
            if method(group.model, "save") is not None:
                instance.save(using=self._alias)
            else:
                Model.save_base(instance, using=self._alias, raw=choice_for(group.model).raw)
        if is_new and instance._state.adding:  # a method of the model's own did not save it
            self._statements.insert(group.only([key]))
        elif is_new and identity.remote is None:
            if instance.pk is None:  # code of others has deleted it again
                raise row_is_missing(group.model, [key])
            remote = key_fields(group.model)[0].get_prep_value(instance.pk)
            self._statements.learn_keys(group.only([key]), [remote])
        elif is_new and not keeps_references(group.model):
            self._statements.note_explicit(group.only([key]))

    def _instance(self, group: Group, key: Key) -> Model:
        """REMOTE's object as it is now, which another's receivers may have changed a moment ago, or a new one."""
        model, identity = group.model, self._identities.of(group.model, key)
        if key in group.new:
            instance = self._child_of_existing(group, key) or model()
            instance._state.db = self._alias
            return instance
        own = key_fields(model)
        values = zip(own, as_values(identity.remote), strict=True)
        lookup = {f.attname: to_attribute(f, v, self._connection) for f, v in values}
        rows: QuerySet[Model] = QuerySet(model, using=self._alias)  # no manager, not even the base, hides any
        found = rows.filter(**lookup).first()
        if found is None:
            raise row_is_missing(model, [key])
        return found

    def _child_of_existing(self, group: Group, key: Key) -> Model | None:
        """A new row of a child in multi-table inheritance: the parents' rows are there and are left alone."""
        parents = [parent for parent, session in group.model._meta.parents.items() if session is not None]
        if not parents:
            return None
        instance = group.model()
        for parent, session in group.model._meta.parents.items():
            if session is None:
                continue
            value = group.rows[key][group.fields.index(session)]
            rows: QuerySet[Model] = QuerySet(parent, using=self._alias)
            found = rows.get(pk=to_attribute(session, value, self._connection))
            for f in parent._meta.concrete_fields:
                setattr(instance, f.attname, getattr(found, f.attname))
        return instance
