"""The pages of synchro's tables, and the page about one object that any admin page can have."""

from __future__ import annotations

from synchro.admin import conflicts, entries, lists, quarantine
from synchro.admin.base import CappedPaginator, ReadOnlyAdmin
from synchro.admin.objects import SynchronizationMixin, add_synchronization

__all__ = [
    "CappedPaginator",
    "ReadOnlyAdmin",
    "SynchronizationMixin",
    "add_synchronization",
    "conflicts",
    "entries",
    "lists",
    "quarantine",
]
