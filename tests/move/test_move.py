"""``synchro_move``, as a process of its own beside a site at work: killed in each step, called again, and back."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connections

from synchro.backends.inspection import inspection_of
from synchro.models import Batch, ChangeLog, Peer
from tests.replay import processes
from tests.replay.deployments import captured_by_triggers, unlogged
from tests.shop.models import Album, Artist, Country, Customer, Order, Warehouse

pytestmark = pytest.mark.django_db(databases=["default", "remote"], transaction=True)

SETTINGS: dict[str, Any] = {
    "SYNCHRO_CAPTURE": "triggers",
    "SYNCHRO_MODELS": ["shop"],
    "SYNCHRO_BATCH_SIZE": 1000,
}
STEPS = ["preflight", "capture", "load", "follow", "verify"]
MODELS = (Customer, Order, Country, Warehouse, Artist, Album)


def fill(rows: int) -> None:
    with unlogged("default"):
        Customer.objects.bulk_create(Customer(name=f"customer {number}") for number in range(rows))
        customers = list(Customer.objects.all())
        Order.objects.bulk_create(Order(customer=one, note=str(one.pk)) for one in customers)
        Country.objects.bulk_create(Country(code=f"c{number}", name="Łódź") for number in range(40))
        Warehouse.objects.bulk_create(Warehouse(name=str(number)) for number in range(40))
        artists = [Artist.objects.create(name=f"Buddy {number}") for number in range(5)]
        for number in range(20):
            Album.objects.create(name=f"Rocks {number}").artists.set(artists[:2])


@contextmanager
def at_work() -> Iterator[subprocess.Popen[str]]:
    """Inside, a site writes; leaving the block ends it where `stop` has not."""
    with processes.start("tests.move.writer", env=processes.environment(**SETTINGS)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def stop(site: subprocess.Popen[str]) -> int:
    """End the site's work in an orderly way; return how much it did."""
    output, errors = site.communicate("over\n", timeout=120)
    assert site.returncode == 0, errors
    return int(output)


def move(*options: str) -> subprocess.CompletedProcess[str]:
    return processes.run("django", "synchro_move", "remote", *options, env=processes.environment(**SETTINGS))


def killed_after(step: str) -> list[str]:
    """Begin a move, and kill it as soon as it says that this step has ended; return the steps that it took."""
    with processes.start(
        "django", "synchro_move", "remote", env=processes.environment(**SETTINGS)
    ) as process:
        assert process.stdout is not None
        seen: list[str] = []
        for line in process.stdout:
            if (name := line.split(" ")[0]) in STEPS:
                seen.append(line)
            if name == step:
                process.kill()
        assert step in [line.split(" ")[0] for line in seen], (seen, process.stderr and process.stderr.read())
    return seen


def counts(alias: str) -> list[int]:
    return [model._base_manager.using(alias).count() for model in MODELS]


def test_move_goes_on_after_it_was_killed_in_each_step_while_a_site_writes_and_the_way_back_is_open() -> None:
    with captured_by_triggers("shop"):
        call_command("synchro_install_triggers", "--uninstall", stdout=StringIO())
        fill(400)
        with at_work() as site:
            # In the load, then in following, then in the comparison.
            assert len(killed_after("capture")) == 2
            assert len(killed_after("load")) == 3
            followed = killed_after("follow")
            assert "was done before" in followed[-2]  # what was loaded is not loaded once more

            with processes.start(
                "django", "synchro_move", "remote", "--cutover", "--quiet", "1",
                env=processes.environment(**SETTINGS),
            ) as cutover:  # fmt: skip
                assert cutover.stdout is not None
                assert any(line.startswith("verify") for line in iter(cutover.stdout.readline, ""))
                written = ChangeLog.objects.order_by("-id").first()
                assert cutover.poll() is None  # as long as the site writes
                assert stop(site) > 0
                output, errors = cutover.communicate(timeout=120)
        assert cutover.returncode == 0, output + errors
        assert 'SYNCHRO_REMOTE = "old"' in output
        assert written is not None
        assert counts("remote") == counts("default")
        for model in (Customer, Warehouse):
            last = inspection_of(connections["remote"]).last_key(model._meta.db_table, "id")
            assert last >= model.objects.using("remote").order_by("-pk").values_list("pk", flat=True)[0]
        assert inspection_of(connections["remote"]).last_key("shop_warehouse", "id") >= 40

        # The site is switched: REMOTE is its database now, and what it writes comes back by the same references.
        back = processes.environment(
            processes.database_url("remote"), processes.database_url("default"), **SETTINGS
        )
        customer = Customer.objects.using("remote").get(name="customer 7")
        customer.name = "changed after the move"
        customer.save(using="remote")
        Order.objects.using("remote").create(customer=customer, note="after the move")
        done = processes.run("django", "synchronize", env=back)
        assert done.returncode == 0, done.stderr
        assert Customer.objects.filter(name="changed after the move").count() == 1
        assert Order.objects.get(note="after the move").customer.name == "changed after the move"
        assert counts("remote") == counts("default")
        compared = processes.run("django", "synchro_verify", env=back)
        assert compared.returncode == 0, compared.stdout + compared.stderr


def test_move_writes_nothing_where_the_preflight_finds_what_remote_refuses() -> None:
    Country.objects.bulk_create([Country(code="de", name="Deutschland")])
    with connections["remote"].schema_editor() as editor:
        editor.execute("ALTER TABLE shop_country RENAME COLUMN name TO title", params=None)
    try:
        done = move()
    finally:
        with connections["remote"].schema_editor() as editor:
            editor.execute("ALTER TABLE shop_country RENAME COLUMN title TO name", params=None)

    assert done.returncode == 3
    assert "shop.Country.name: REMOTE's table shop_country lacks this column" in done.stdout
    assert "(1 row)" in done.stdout
    assert not Batch.objects.exists()
    assert not Peer.objects.exists()
    assert not Country.objects.using("remote").exists()
