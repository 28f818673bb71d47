"""
Let no other database be written while code of others works on REMOTE's objects.

Receivers, overridden methods and natural keys that others wrote know of one database. What they send to another one is
refused before that database sees it, and what they caught is raised again when they are done. The guard stands in
the lists of execute wrappers of this thread's connections; threads that such code starts have connections of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.db import DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model
from django.utils.functional import Promise
from django.utils.translation import gettext as _

from synchro.conf import conf
from synchro.exceptions import AfterCommit, Culprit, WrongDatabase
from synchro.keys import Key, key_of, to_text
from synchro.receivers import path_of, setting_without
from synchro.replay.guests.sql import is_read, watched_table
from synchro.switch import is_capture_off


@dataclass
class Work:
    """The object of REMOTE that code of others works on, as soon as it is there."""

    model: type[Model]
    instance: Model | None = None
    #: Whether REMOTE is to get the object; and in which tables it has a row by now.
    is_new: bool = False
    inserted: set[type[Model]] = field(default_factory=set)

    def inserts(self, model: type[Model], objects: Sequence[Any]) -> bool:
        """Return whether the object itself is inserted now, and nothing else that its method makes."""
        if not self.is_new or model in self.inserted or not any(each is self.instance for each in objects):
            return False
        self.inserted.add(model)
        return True


_MARK: Final = "_synchro_guest"


@dataclass(frozen=True)
class Guest:
    """Code of others, and the object of the batch that it works on."""

    #: What runs, such as the dotted path of a method; None where only Django's own is known to run.
    code: str | None
    model: type[Model]
    #: LOCAL's key of the object; None where it works on several.
    key: Key | None = None
    #: What to do about it; None: to leave it out.
    advice: str | Promise | None = None
    #: Watched tables that it has read from another database than REMOTE, each with its alias.
    reads: tuple[tuple[str, str], ...] = ()

    def names(self) -> dict[str, str]:
        code = self.code or _("code of the project")
        advice = _("Have it use the database that it is called for, or leave it out: %(setting)s.")
        return {
            "model": self.model._meta.label,
            "key": "" if self.key is None else to_text(self.model, self.key),
            "code": code,
            "setting": setting_without(self.model, self.code),
            "advice": advice % {"setting": setting_without(self.model, self.code)}
            if self.advice is None
            else str(self.advice),
        }


#: The receiver that is running, and what it was called with: the guard alone cannot know.
_receiver: ContextVar[Guest | None] = ContextVar("synchro_receiver", default=None)
#: The guard that stands.
_guarded: ContextVar[_Guard | None] = ContextVar("synchro_guarded", default=None)


@contextmanager
def guarded(
    remote: str, guest: Guest, refuses_reads: bool = False, tell: Callable[[str], None] | None = None
) -> Iterator[None]:
    """
    Inside, this thread can write to no other database than `remote`, an alias; nor, with `refuses_reads`, read the
    watched tables of another one. `tell` is called with what is to be said of what waits for a commit.

    Raises `WrongDatabase` for the first statement that tried, at once and again at the end, whatever caught it. Other
    errors come out as they are, and `guest_of` knows what they came of.
    """
    guard = _Guard(guest, refuses_reads)
    own = connections[remote]
    with ExitStack() as stack:
        stack.callback(_guarded.reset, _guarded.set(guard))
        for alias in connections:
            connection = connections[alias]
            stack.enter_context(_guarded_later(connection, remote, guest, tell))
            if connection is not own:
                stack.enter_context(guard.on(connection))
        try:
            yield
        except Exception as error:
            if guard.trespass is not None and guard.trespass is not error:
                raise guard.trespass from error
            _mark(error, guest, guard)
            raise
    if guard.trespass is not None:
        raise guard.trespass


@contextmanager
def running(code: str, instance: Model) -> Iterator[None]:
    """Inside, this receiver runs, so that it is named in what is raised; `instance` is what it was called with."""
    model = type(instance)._meta.concrete_model or type(instance)
    guest = Guest(code, model, _key_of(instance))
    token = _receiver.set(guest)
    try:
        yield
    except Exception as error:
        _mark(error, guest, None)
        raise
    finally:
        _receiver.reset(token)


def guest_at_work() -> Guest | None:
    """Return the code of others that is running, with the object that it works on."""
    guard = _guarded.get()
    return None if guard is None else _joined(guard.guest, _receiver.get())


def refuse_guest(alias: str, text: str, **more: str) -> None:
    """Raise `WrongDatabase`, now and again when the guest is done; do nothing where no guest is at work."""
    guard = _guarded.get()
    if guard is not None:
        raise guard.refuse(alias, text, **more)


def is_in_receiver() -> bool:
    return _receiver.get() is not None


def _key_of(instance: Model) -> Key | None:
    """Return the key of an object; None where it has none yet, as before its first save."""
    try:
        return None if instance.pk is None else key_of(instance)
    except (TypeError, ValueError, ArithmeticError, ValidationError):
        return None


def guest_of(error: BaseException) -> Guest | None:
    """Return the code of others that raised an error; None where Django or the database did."""
    return getattr(error, _MARK, None)


@dataclass
class _Guard:
    """Wraps each statement for another database than REMOTE."""

    guest: Guest
    refuses_reads: bool
    trespass: WrongDatabase | None = None
    reads: dict[tuple[str, str], None] = field(default_factory=dict)
    #: Aliases of databases that raised an error themselves.
    failed: set[str] = field(default_factory=set)

    @contextmanager
    def on(self, connection: BaseDatabaseWrapper) -> Iterator[None]:
        """Inside, guard a connection. A transaction that is open goes on: what the guard refused has not broken it."""
        is_broken = connection.needs_rollback
        with connection.execute_wrapper(self):
            try:
                yield
            finally:
                if connection.alias not in self.failed:
                    connection.needs_rollback = is_broken

    def __call__(
        self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]
    ) -> Any:
        alias = context["connection"].alias
        if not is_read(sql):
            raise self.refuse(
                alias,
                _(
                    "%(model)s %(key)s: %(code)s ran for REMOTE's object and wanted to write to the database "
                    "“%(alias)s”. Nothing was written there, and the batch was rolled back. %(advice)s"
                ),
            )
        table = watched_table(sql)
        if table is not None:
            self.reads[table, alias] = None
            if self.refuses_reads:
                raise self.refuse(
                    alias,
                    _(
                        "%(model)s %(key)s: %(code)s looked for REMOTE's object in the database “%(alias)s”. What it "
                        "found was not used, and the batch was rolled back. %(advice)s"
                    ),
                )
        try:
            return execute(sql, params, many, context)
        except DatabaseError:
            self.failed.add(alias)
            raise

    def refuse(self, alias: str, text: str, **more: str) -> WrongDatabase:
        """Return the error for what the guest tried, and keep it until the guest is done."""
        guest = _joined(self.guest, _receiver.get())
        names = {**guest.names(), "alias": alias, **more}
        cause = _("%(code)s wanted to use the database “%(alias)s”") % names
        culprits = [] if self.guest.key is None else [Culprit(self.guest.model, self.guest.key, cause)]
        error = WrongDatabase(text % names, culprits, cause)
        self.trespass = self.trespass or error
        return error


def _joined(guest: Guest, receiver: Guest | None) -> Guest:
    """Return the innermost code, with the object that the guard was set up for, where that is one object."""
    if receiver is None:
        return guest
    return receiver if guest.key is None else replace(guest, code=receiver.code, advice=receiver.advice)


def _mark(error: Exception, guest: Guest, guard: _Guard | None) -> None:
    """Note in an error the innermost code, the object that it worked on, and what it has read."""
    found = _joined(guest, guest_of(error))
    if found.code is None:
        return
    if guard is not None:
        found = replace(found, reads=tuple(guard.reads))
    with suppress(AttributeError):
        setattr(error, _MARK, found)


@contextmanager
def _guarded_later(
    connection: BaseDatabaseWrapper, remote: str, guest: Guest, tell: Callable[[str], None] | None
) -> Iterator[None]:
    """Guard, too, what is registered inside to be called after a commit."""
    before = len(connection.run_on_commit)
    try:
        yield
    finally:
        hooks: list[Any] = connection.run_on_commit
        for position in range(before, len(hooks)):
            sids, call, robust = hooks[position]
            hooks[position] = (sids, _Later(call, remote, guest, tell), robust)


@dataclass(frozen=True)
class _Later:
    call: Callable[[], Any]
    remote: str
    guest: Guest
    tell: Callable[[str], None] | None

    def __call__(self) -> None:
        """Call it, guarded. Its failure is no error of the batch, which may be on REMOTE by now."""
        try:
            with guarded(self.remote, self.guest), connections[self.remote].execute_wrapper(self._watch):
                self.call()
        except Exception as error:
            text = _(
                "%(code)s waited for a commit, and failed then (%(cause)s). What was committed stays. Correct it, and "
                "run synchronize again."
            )
            cause = error.cause if isinstance(error, WrongDatabase) else type(error).__name__
            raise AfterCommit(text % {"code": self._code, "cause": cause}) from error

    @property
    def _code(self) -> str:
        return path_of(self.call)

    def _watch(
        self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]
    ) -> Any:
        """Warn of each statement that writes to REMOTE: nothing puts back what is written after the commit."""
        is_meant = is_capture_off() and conf.capture == "signals"
        table = None if self.tell is None or is_meant or is_read(sql) else watched_table(sql)
        if self.tell is not None and table is not None:
            text = _(
                "%(code)s waited for a commit, and wrote to %(table)s of the database “%(alias)s” then. Nothing puts "
                "that back, so it may be there twice, and differ from LOCAL. Leave it out: %(setting)s."
            )
            names = {**self.guest.names(), "code": self._code, "table": table, "alias": self.remote}
            self.tell(text % names)
        return execute(sql, params, many, context)
