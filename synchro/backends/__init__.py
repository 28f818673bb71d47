"""What differs between the database engines: one module each, behind the interface of `base.Backend`."""

from __future__ import annotations

from django.db.backends.base.base import BaseDatabaseWrapper

from synchro.backends.base import Backend, Convert, Unfit
from synchro.backends.engines import bound, check_vendor

__all__ = ["Backend", "Convert", "Unfit", "backend_for", "check_vendor"]


def backend_for(connection: BaseDatabaseWrapper) -> Backend:
    """
    Return the backend of this connection.

    Raises `NotReady` for an engine that synchro does not know, or that cannot be loaded.
    """
    backend: Backend = bound(connection, "backend")
    return backend
