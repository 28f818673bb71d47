from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.apps.registry import Apps
from django.db import connection, models

from tests.spicy.models import Invoice, User


@pytest.fixture
def registry() -> Apps:
    """A registry for models of one test, which are then none of the project's."""
    return Apps()


@pytest.fixture
def tables(transactional_db: None) -> Iterator:
    """A function that makes the tables of models of one test; they are dropped after it."""
    made: list[type[models.Model]] = []

    def make(*wanted: type[models.Model]) -> None:
        with connection.schema_editor() as editor:
            for model in wanted:
                editor.create_model(model)
                made.append(model)

    yield make
    with connection.schema_editor() as editor:
        for model in reversed(made):
            editor.delete_model(model)


@pytest.fixture
def chosen_keys(db: None) -> None:
    """The keys that the database hands out are far from those that a test chooses itself."""
    if connection.vendor == "postgresql":  # the others count on from the highest key of the table
        with connection.cursor() as cursor:
            for table in ("spicy_user", "spicy_invoice"):
                cursor.execute("SELECT setval(pg_get_serial_sequence(%s, 'id'), 1000000)", [table])


@pytest.fixture
def ada(db: None) -> User:
    return User.objects.create(id=123456789, name="Ada")


@pytest.fixture
def invoice(ada: User) -> Invoice:
    return Invoice.objects.create(id=0x7000005, customer=ada, total=3)
