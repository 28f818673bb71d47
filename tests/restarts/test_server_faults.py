"""Servers can be made to fail, and what was committed before is there afterwards."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable

import pytest
from django.contrib.auth.models import Group
from django.db import OperationalError, connection

from tests import backends

pytestmark = pytest.mark.django_db(transaction=True)


def crash(name: str) -> None:
    """End a server the hard way and start it again."""
    backends.kill(name)
    backends.start(name)


@pytest.fixture
def server() -> backends.Server:
    """The server of LOCAL, if a test may touch it."""
    try:
        return backends.find(os.environ.get("SYNCHRO_TEST_PAIR", "sqlite-sqlite").split("-")[0])
    except backends.BackendError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("fault", [crash, backends.restart])
def test_committed_row_outlives_a_fault(server: backends.Server, fault: Callable[[str], None]) -> None:
    Group.objects.create(name="kept")
    connection.close()
    fault(server.name)
    assert Group.objects.get().name == "kept"


def test_killed_server_stays_down_until_it_is_started(server: backends.Server) -> None:
    connection.close()
    backends.kill(server.name)
    try:
        with pytest.raises(OperationalError):
            connection.ensure_connection()
    finally:
        backends.start(server.name)
    connection.ensure_connection()


def test_client_program_speaks_to_the_same_database(server: backends.Server) -> None:
    command = backends.client_command(server, connection.settings_dict["NAME"])
    insert = "INSERT INTO auth_group (name) VALUES ('by client')"
    subprocess.run([*command, "-c" if server.kind == "postgresql" else "-e", insert], check=True)
    assert Group.objects.get().name == "by client"
