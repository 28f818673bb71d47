"""
Record which watched rows of REMOTE code of others writes while it works on an object.

Each UPDATE and DELETE is asked beforehand which rows it is about, by a SELECT with its own WHERE, so that these are
known as they were. What is inserted is learnt from Django. What neither tells is noted by its table.

What capture would not see on LOCAL since it is switched off is not recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache, lru_cache, partial, wraps
from typing import Any

from django.core.exceptions import ValidationError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model
from django.db.models.constants import OnConflict
from django.db.models.deletion import Collector

from synchro.keys import AnyField, Key, key_fields, key_of, normalize
from synchro.registry import is_watched, watched_tables
from synchro.replay.columns import Codec
from synchro.replay.dependent_rows import rows_along
from synchro.replay.guests.guard import Guest, Work, guest_at_work, is_in_receiver
from synchro.replay.guests.sql import Aim, aim_of, is_read, may_meet_by_value, watched_tables_in
from synchro.replay.guests.touched import Memory, Touched
from synchro.replay.rows import as_key, as_values, select
from synchro.replay.session import Session
from synchro.replay.unreadable import CannotRead
from synchro.switch import is_capture_off


@dataclass
class Recorder:
    session: Session
    #: By REMOTE's keys.
    touched: dict[type[Model], dict[Key, Touched]] = field(default_factory=dict)
    added: dict[type[Model], dict[Key, Guest]] = field(default_factory=dict)
    #: Rows that were saved or deleted in a way that signals see on LOCAL, or went along with others in the database.
    signalled: set[tuple[type[Model], Key]] = field(default_factory=set)
    #: Tables of which it is not known which rows were written, and by whom.
    unknown: dict[tuple[str, str | None], Guest] = field(default_factory=dict)
    #: Tables of which more rows were written than can be kept, and by whom.
    too_many: dict[tuple[str, str | None], Guest] = field(default_factory=dict)
    too_many_deleted: dict[tuple[str, str | None], Guest] = field(default_factory=dict)
    memory: Memory = field(default_factory=Memory)
    #: All watched tables that code of others may have written to, in lower case: also where capture was off.
    written: set[str] = field(default_factory=set)

    # -- what is seen -------------------------------------------------------------------------------------------

    def __call__(
        self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]
    ) -> Any:
        """Wraps each statement for REMOTE."""
        if is_read(sql):
            return execute(sql, params, many, context)
        tables = watched_tables_in(sql)
        if not is_djangos_own():
            self.written.update(map(str.lower, tables))
        if not tables or _is_inserting.get() or is_capture_off():
            return execute(sql, params, many, context)
        if is_djangos_own():
            return self._follow(execute, sql, params, many, context)
        aim = None if many else aim_of(sql, params)
        models = [] if aim is None else _models_of(aim.name)
        if aim is None or len(models) > 1:
            for table in tables:
                self._note_unknown(table)
        elif models:  # else all that is watched is only read
            self._note_aimed(models[0], aim, params)
        return execute(sql, params, many, context)

    def _note_aimed(self, model: type[Model], aim: Aim, params: Any) -> None:
        try:
            keys = self._keys(model, aim, params)
            self._note(model, keys, aim.deletes)
            for child, several in rows_along(self.session.remote, model, keys) if aim.deletes else ():
                if is_watched(child):
                    self._note(child, several, True)
                    self.signalled.update((child, key) for key in several)
        except CannotRead:  # the code of others may not care
            self._note_unknown(model._meta.db_table)

    def _keys(self, model: type[Model], aim: Aim, given: Any) -> list[Key]:
        """REMOTE's keys of the rows that a statement is about, but for that of the object at work."""
        connection, own = self.session.remote.connection, key_fields(model)
        names = [f"{aim.table}.{connection.ops.quote_name(f.column)}" for f in own]
        parameters = aim.parameters(given)
        at_work = self._own_key(model)
        if parameters == [at_work] and aim.rest == f"{aim.table} WHERE {names[0]} = %s":  # its own save()
            return []
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {', '.join(names)} FROM {aim.rest}", parameters)
            rows = cursor.fetchall()
        return [as_key(row) for row in Codec(own, connection).decode_all(rows)]

    def _note(self, model: type[Model], keys: Sequence[Key], are_deleted: bool = False) -> None:
        guest, is_akin = self._guest(), self._is_akin(model)
        known = self.touched.setdefault(model, {})
        own = self._own_key(model)
        added = self.added.get(model, {})
        new = [key for key in dict.fromkeys(keys) if key not in known and key != own and key not in added]
        rows = self.memory.read(partial(self.read, model, lock=True), new)
        if rows is None:
            many = self.too_many_deleted if are_deleted else self.too_many
            many[model._meta.db_table, guest.code] = guest
            return
        for key, row in rows.items():
            known[key] = Touched(guest, row, is_akin)
        for key in keys:
            if key in known:
                known[key].is_akin &= is_akin

    def _note_unknown(self, table: str) -> None:
        guest = self._guest()
        self.unknown[table, guest.code] = guest

    def _guest(self) -> Guest:
        found = guest_at_work()
        assert found is not None, "nobody is at work"
        return found

    @staticmethod
    def _is_akin(model: type[Model]) -> bool:
        work = _work.get()
        at_work = None if work is None else work.model
        return at_work is not None and (issubclass(at_work, model) or issubclass(model, at_work))

    @staticmethod
    def _own_key(model: type[Model]) -> Key | None:
        """Return the key of the object at work, whose row is the batch's; None for a model that it inherits from."""
        work = _work.get()
        if work is None or work.instance is None or work.model is not model:
            return None
        return key_or_none(work.instance, model)

    def _follow(self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any) -> Any:
        """
        Execute a statement of Django's own, which deletes an object and what depends on it.

        Rows that code of others wrote before are to end as the statement leaves them.
        """
        aim = aim_of(sql, params) if self.touched else None
        models = [] if aim is None else _models_of(aim.name)
        model = models[0] if len(models) == 1 else None
        known = {} if model is None else self.touched.get(model, {})
        if aim is None or model is None or not known:
            return execute(sql, params, many, context)
        keys = known.keys() & self._keys(model, aim, params)
        before = self.read(model, keys)
        result = execute(sql, params, many, context)
        after = self.read(model, keys)
        for key in keys:
            if key not in after:
                del known[key]
                continue
            pairs = zip(before[key], after[key], strict=True)
            changed = [place for place, (old, new) in enumerate(pairs) if old != new]
            for place in changed:
                known[key].before[place] = after[key][place]
        return result

    # -- rows that are new --------------------------------------------------------------------------------------

    @contextmanager
    def inserting(self, model: type[Model], objects: Sequence[Any], query: Any) -> Iterator[list[Any]]:
        """Inside, Django inserts; what it returns is to be put into the list, by the model's key."""
        explicit = [key_or_none(each, model) for each in objects]
        known = {key for key in explicit if key is not None}
        present = self.read(model, known)
        if query.on_conflict == OnConflict.UPDATE:
            self._note(model, list(present))
            if len(present) < len(objects) and may_meet_by_value(query, model):
                self._note_unknown(model._meta.db_table)
        returned: list[Any] = []
        yield returned
        guest = self._guest()
        keys = [key for key in explicit if key is not None] if known else returned
        added = self.added.setdefault(model, {})
        for key in keys:
            if key not in present and key not in self.touched.get(model, {}):
                added[key] = guest
        if not keys and query.on_conflict is None:
            added[None] = guest

    def saved(self, instance: Model) -> None:
        """Django says that this object was saved: by code of others, unless it is the one at work."""
        work = _work.get()
        if is_capture_off() or (work is not None and work.instance is instance):
            return
        model: Any = type(instance)._meta.concrete_model
        for each in (model, *model._meta.all_parents):
            key = key_or_none(instance, each)
            if key is not None:
                self.signalled.add((each, key))

    def read(self, model: type[Model], keys: Any, lock: bool = False) -> dict[Key, list[Any]]:
        """Return these rows of REMOTE with all columns that can be written; with `lock`, nobody else changes them."""
        own, fields = key_fields(model), columns(model)
        rows = select(
            self.session.remote, model, [*own, *fields], own, [as_values(key) for key in keys], lock
        )
        return {as_key(row[: len(own)]): list(row[len(own) :]) for row in rows}


@cache
def columns(model: type[Model]) -> tuple[AnyField, ...]:
    """Return all columns, the skipped ones too, but not those that the database computes."""
    return tuple(f for f in model._meta.local_concrete_fields if not f.generated)


def _models_of(name: str) -> list[type[Model]]:
    """Return the models whose rows this table holds; none where it is not watched."""
    return [table.model for table in watched_tables() if table.name.lower() == name.lower()]


def key_or_none(instance: Any, model: type[Model]) -> Key | None:
    """Return the key of an object in the table of `model`; None where it has none yet, or one that is no value."""
    try:
        key = key_of(instance, model)
    except (AttributeError, TypeError, ValueError, ArithmeticError, ValidationError):
        return None
    return None if None in as_values(key) else key


# -- what is asked ---------------------------------------------------------------------------------------------

_recorder: ContextVar[Recorder | None] = ContextVar("synchro_recorder", default=None)
_work: ContextVar[Work | None] = ContextVar("synchro_work", default=None)
_is_inserting: ContextVar[bool] = ContextVar("synchro_inserting", default=False)
_is_deleting: ContextVar[bool] = ContextVar("synchro_deleting", default=False)


@contextmanager
def recording(recorder: Recorder) -> Iterator[None]:
    """Inside, what code of others writes on REMOTE is recorded."""
    token = _recorder.set(recorder)
    try:
        yield
    finally:
        _recorder.reset(token)


@contextmanager
def at_work(model: type[Model]) -> Iterator[Work]:
    """Inside, code of others works on an object of this model of REMOTE, or on several."""
    recorder, work = _recorder.get(), Work(model)
    if recorder is None:
        yield work
        return
    connection = recorder.session.remote.connection
    token = _work.set(work)
    try:
        with _compilers(connection), connection.execute_wrapper(recorder):
            yield work
    finally:
        _work.reset(token)


@contextmanager
def _compilers(connection: BaseDatabaseWrapper) -> Iterator[None]:
    own = vars(connection.ops)
    before = own.get("compiler")
    original = connection.ops.compiler
    own["compiler"] = lambda name: _recording(original(name))  # type: ignore[arg-type]
    try:
        yield
    finally:
        del own["compiler"]
        if before is not None:
            own["compiler"] = before


def notice_save(instance: Any = None, **_kwargs: Any) -> None:
    """Receive ``post_save`` of what code of others saves on REMOTE."""
    recorder = _recorder.get()
    if recorder is not None and isinstance(instance, Model):
        recorder.saved(instance)


def is_djangos_own() -> bool:
    """Return whether Django itself is deleting the object that the replayer deletes, and no receiver is running."""
    return _is_deleting.get() and not is_in_receiver()


@lru_cache(maxsize=64)
def _recording(compiler: Any) -> Any:
    """Return the compiler; one that inserts tells the recorder what."""
    if not compiler.__name__.endswith("InsertCompiler"):
        return compiler

    def execute_sql(self: Any, returning_fields: Any = None) -> Any:
        recorder, model = _recorder.get(), self.query.get_meta().concrete_model
        work = _work.get()
        is_own = work is not None and work.inserts(model, self.query.objs)
        if recorder is None or is_own or is_capture_off() or not is_watched(model):
            return _unrecorded(compiler, self, returning_fields)
        with recorder.inserting(model, self.query.objs, self.query) as returned:
            rows = _unrecorded(compiler, self, returning_fields)
            own = key_fields(model)
            if rows and all(f in returning_fields for f in own):
                places = [returning_fields.index(f) for f in own]
                pairs = list(zip(own, places, strict=True))
                returned += [as_key([normalize(f, row[place]) for f, place in pairs]) for row in rows]
        return rows

    return type(compiler.__name__, (compiler,), {"execute_sql": execute_sql})


def _unrecorded(compiler: Any, self: Any, returning_fields: Any) -> Any:
    token = _is_inserting.set(True)
    try:
        return compiler.execute_sql(self, returning_fields)
    finally:
        _is_inserting.reset(token)


def follow_deletions(look: Callable[[Sequence[Model], str], None]) -> None:
    """
    Have Django tell, from now on, which statements are part of a deletion by the replayer.

    What code of others deletes on REMOTE is passed to `look` before.
    """
    original = Collector.delete
    if hasattr(original, "is_followed"):
        return

    @wraps(original)
    def delete(self: Collector) -> tuple[int, dict[str, int]]:
        work, origin = _work.get(), getattr(self, "origin", None)
        if work is None:
            return original(self)
        if origin is None or origin is not work.instance:
            look([each for several in self.data.values() for each in several], self.using)
            return original(self)
        token = _is_deleting.set(True)
        try:
            return original(self)
        finally:
            _is_deleting.reset(token)

    delete.is_followed = True  # type: ignore[attr-defined]
    Collector.delete = delete  # type: ignore[method-assign]
