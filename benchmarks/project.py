"""
A Django project on two databases of its own, for one process.

The servers are those of the environment (``SYNCHRO_TEST_POSTGRESQL_URL``, ``SYNCHRO_TEST_MYSQL_URL``,
``SYNCHRO_TEST_MARIADB_URL``, as `make servers` prints them); SQLite needs none. Databases are made when a benchmark
begins and dropped when it ends.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import django
from django.conf import settings

from tests.databases import database_from_url

VARIABLES = {
    "postgresql": "SYNCHRO_TEST_POSTGRESQL_URL",
    "mysql": "SYNCHRO_TEST_MYSQL_URL",
    "mariadb": "SYNCHRO_TEST_MARIADB_URL",
}


def is_available(backend: str) -> bool:
    return backend == "sqlite" or VARIABLES[backend] in os.environ


@contextmanager
def project(local: str, remote: str, names: Mapping[str, str] | None = None, **more: Any) -> Iterator[None]:
    """
    Django is set up with empty, migrated databases of these backends, or with those that another process has made,
    by their `names`. Once in a process.
    """
    with tempfile.TemporaryDirectory() as folder:
        settings.configure(
            DATABASES={
                "default": _database(local, "local", folder),
                "remote": _database(remote, "remote", folder),
            },
            DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
            INSTALLED_APPS=[
                "django.contrib.admin",
                "django.contrib.contenttypes",
                "django.contrib.auth",
                "django.contrib.messages",
                "synchro",
                "benchmarks.stock",
            ],
            SECRET_KEY="benchmarks",
            USE_TZ=True,
            MIGRATION_MODULES={"stock": None},
            SYNCHRO_MODELS=["stock"],
            SYNCHRO_REMOTE="remote",
            **more,
        )
        django.setup()
        with _databases() if names is None else _databases_of(names):
            yield


def _database(backend: str, side: str, folder: str) -> dict[str, Any]:
    url = f"sqlite:///{folder}/bench" if backend == "sqlite" else os.environ[VARIABLES[backend]]
    entry = database_from_url(url, side)
    if backend != "sqlite":
        entry["TEST"]["NAME"] = f"perf_{os.getpid()}_{side}"
    return entry


@contextmanager
def _databases() -> Iterator[None]:
    from django.db import connections

    with ExitStack() as stack:
        for connection in connections.all():
            old = connection.settings_dict["NAME"]
            connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
            stack.callback(connection.creation.destroy_test_db, old, verbosity=0)
        yield


@contextmanager
def _databases_of(names: Mapping[str, str]) -> Iterator[None]:
    from django.db import connections

    for alias, name in names.items():
        connections[alias].settings_dict["NAME"] = name
    yield
    connections.close_all()
