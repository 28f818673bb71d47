"""Foreign keys that somebody made by hand on REMOTE, by which its server deletes or empties rows without a word."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.checks import run_checks
from django.db import connections

from synchro.core import call_synchronize
from synchro.exceptions import Refused
from synchro.models import SetAside
from tests.odd.models import Trace
from tests.replay.deployments import (
    BY_TRIGGERS,
    LOCAL,
    REMOTE,
    create_on_remote,
    remote,
    remote_count,
    watching,
)
from tests.shop.models import Customer, Seat

pytestmark = pytest.mark.django_db(databases=["default", "remote"], transaction=True)

RULE = "FOREIGN KEY (customer_id) REFERENCES shop_customer (id) ON DELETE"


@pytest.fixture(scope="module", autouse=True)
def watched(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    with watching(django_db_blocker, "odd", "shop"):
        yield


@pytest.fixture(params=["CASCADE", "SET NULL"])
def made_by_hand(request: Any) -> Iterator[str]:
    """REMOTE's table of traces, whose model says that nobody takes care of what they are about."""
    connection = connections[REMOTE]
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("SELECT sql FROM sqlite_master WHERE name = 'odd_trace'")
            before = str(cursor.fetchone()[0])
            after = f"{before.rstrip()[:-1]}, {RULE} {request.param})".replace(
                '_id" bigint NOT NULL', '_id" bigint'
            )
            undo = ["DROP TABLE odd_trace", before]
            statements = ["DROP TABLE odd_trace", after]
        else:
            nullable = (
                "ALTER COLUMN customer_id DROP"
                if connection.vendor == "postgresql"
                else "MODIFY customer_id bigint"
            )
            again = "ALTER COLUMN customer_id SET" if connection.vendor == "postgresql" else nullable
            drop = "CONSTRAINT" if connection.vendor == "postgresql" else "FOREIGN KEY"
            statements = [
                f"ALTER TABLE odd_trace {nullable} {'NOT ' if connection.vendor == 'postgresql' else ''}NULL",
                f"ALTER TABLE odd_trace ADD CONSTRAINT by_hand {RULE} {request.param}",
            ]
            undo = [
                f"ALTER TABLE odd_trace DROP {drop} by_hand",
                "DELETE FROM odd_trace",
                f"ALTER TABLE odd_trace {again} NOT NULL",
            ]
        for statement in statements:
            cursor.execute(statement)
    yield request.param
    with connection.cursor() as cursor:
        for statement in undo:
            cursor.execute(statement)


def test_deletion_that_would_take_along_what_local_has_is_refused_by_name(
    made_by_hand: str, settings: Any
) -> None:
    ann, bob = Customer.objects.create(name="Ann"), Customer.objects.create(name="Bob")
    trace = Trace.objects.create(customer=ann, text="kept")
    call_synchronize()
    create_on_remote(Trace, customer=remote(Customer, name="Bob"), text="remote's own")
    Seat.objects.create(number=7)
    ann_key, bob_key = ann.pk, bob.pk
    ann.delete()  # its trace stays on LOCAL, and points at nobody

    with pytest.raises(
        Refused, match=rf"shop\.Customer {ann_key} .* odd_trace\.customer_id \(ON DELETE {made_by_hand}\)"
    ):
        call_synchronize()
    assert (remote_count(Trace), remote_count(Customer)) == (2, 2)
    assert [message.id for message in run_checks(databases=[REMOTE]) if message.id == "synchro.W124"]

    settings.SYNCHRO_ON_ERROR = "quarantine"
    bob.delete()  # REMOTE has a trace of him that LOCAL has never seen
    assert call_synchronize().aside == 2
    assert {row.object_id for row in SetAside.objects.all()} == {str(ann_key), str(bob_key)}
    assert (remote_count(Trace), remote(Seat).number) == (2, 7)

    trace.delete()
    remote(Trace, text="remote's own").delete(using=REMOTE)
    assert call_synchronize(retry=True).aside == 0
    assert (remote_count(Trace), remote_count(Customer)) == (0, 0)


@pytest.mark.skipif(
    not BY_TRIGGERS or connections[LOCAL].vendor != "mysql",
    reason="other engines fire triggers for such rows",
)
def test_foreign_key_of_local_for_which_no_trigger_fires_is_named_by_check() -> None:
    def warnings() -> list[str]:
        return [str(message.msg) for message in run_checks(databases=[LOCAL]) if message.id == "synchro.W112"]

    assert warnings() == []
    with connections[LOCAL].cursor() as cursor:
        cursor.execute(f"ALTER TABLE odd_trace ADD CONSTRAINT by_hand {RULE} CASCADE")
        found = warnings()
        cursor.execute("ALTER TABLE odd_trace DROP FOREIGN KEY by_hand")

    assert "odd_trace.customer_id (ON DELETE CASCADE)" in found[0]


def test_row_that_moves_in_a_later_batch_is_taken_along(made_by_hand: str, settings: Any) -> None:
    settings.SYNCHRO_BATCH_SIZE = 1
    ann, bob = Customer.objects.create(name="Ann"), Customer.objects.create(name="Bob")
    trace = Trace.objects.create(customer=ann, text="kept")
    gone = Trace.objects.create(customer=ann, text="gone")
    call_synchronize()
    ann.delete()
    gone.delete()
    trace.customer = bob
    trace.save()

    call_synchronize()

    assert remote(Trace).customer.name == "Bob"
    assert remote_count(Customer) == 1
