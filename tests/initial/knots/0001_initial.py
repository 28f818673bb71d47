from __future__ import annotations

from tests.initial import initial_migration

Migration = initial_migration("knots")
