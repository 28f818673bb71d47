"""The suite really runs on the databases that it says it does."""

from __future__ import annotations

import os

import pytest
from django.db import connections

ALIASES = ("default", "remote")
PAIR = os.environ.get("SYNCHRO_TEST_PAIR", "sqlite-sqlite")


def kind_of(alias: str) -> str:
    """The kind of server that a connection really leads to."""
    connection = connections[alias]
    if connection.vendor == "mysql":
        return "mariadb" if connection.mysql_is_mariadb else "mysql"
    return connection.vendor


@pytest.mark.django_db(databases=ALIASES)
@pytest.mark.parametrize(("alias", "name"), list(zip(ALIASES, PAIR.split("-"), strict=True)))
def test_connection_leads_to_the_kind_of_server_that_the_pair_names(alias: str, name: str) -> None:
    assert kind_of(alias) == name.removesuffix("_old")


@pytest.mark.django_db(databases=ALIASES)
def test_the_two_sides_are_different_databases() -> None:
    local, remote = (connections[alias].settings_dict for alias in ALIASES)
    assert (local["HOST"], local["PORT"], local["NAME"]) != (remote["HOST"], remote["PORT"], remote["NAME"])


@pytest.mark.django_db(databases=ALIASES)
@pytest.mark.skipif("_old" not in PAIR, reason="only where an older server stands beside the newest")
def test_older_server_is_older_than_the_newest() -> None:
    newest = {"postgresql": 18, "mysql": 9, "mariadb": 11}
    connection = connections["default"]
    assert connection.get_database_version()[0] < newest[kind_of("default")]
