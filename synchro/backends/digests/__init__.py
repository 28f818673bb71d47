"""Digests: hashes of rows that servers compute themselves, alike on all engines."""

from __future__ import annotations

from synchro.backends.digests.base import Column, ColumnType, Digests, Kind, kind_of

__all__ = ["Column", "ColumnType", "Digests", "Kind", "kind_of"]
