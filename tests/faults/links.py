"""A database of this process, for a while reached through a proxy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connections

from tests.faults.proxy import Proxy


@contextmanager
def through_proxy(alias: str, **options: object) -> Iterator[Proxy]:
    """Inside, all new connections of this process to the database go through a proxy, with more `options`."""
    connection = connections[alias]
    settings = connection.settings_dict
    before = {name: settings[name] for name in ("HOST", "PORT", "OPTIONS")}
    connection.close()
    with Proxy(settings["HOST"], int(settings["PORT"])) as proxy:
        settings |= {"HOST": "127.0.0.1", "PORT": str(proxy.port), "OPTIONS": before["OPTIONS"] | options}
        try:
            yield proxy
        finally:
            connection.close()
            settings |= before
