"""Moving to another database while the site writes: what docs/moving.md has people type, in its order."""

from __future__ import annotations

import random
import re
import signal
import subprocess
import threading
from pathlib import Path

import pytest
from django.db import connections

from synchro.models import ChangeLog
from tests.replay import processes
from tests.replay.deployments import captured_by_triggers, unlogged
from tests.shop.models import Album, Artist, Country, Customer, Order, Warehouse

pytestmark = pytest.mark.django_db(databases=["default", "remote"], transaction=True)

PAGE = Path(__file__).parents[2] / "docs" / "moving.md"
SETTINGS = {"SYNCHRO_IDENTITY": "pk", "SYNCHRO_CAPTURE": "triggers", "SYNCHRO_MODELS": ["shop"]}


def commands(heading: str) -> list[list[str]]:
    """What the page has people type in this section."""
    section = PAGE.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return [line.split() for line in re.findall(r"^ *\$ python manage\.py (.*)$", section, re.MULTILINE)]


def manage(*arguments: str) -> subprocess.CompletedProcess[str]:
    return processes.run("django", *arguments, env=processes.environment(**SETTINGS))


def fill() -> None:
    for number in range(40):
        customer = Customer.objects.create(name=f"customer {number}")
        Order.objects.create(customer=customer, note=str(number))
        Country.objects.create(code=f"c{number}", name="Łódź")
        Warehouse.objects.create(name=str(number))
    artist = Artist.objects.create(name="Buddy")
    Album.objects.create(name="Rocks").artists.add(artist)


def write(over: threading.Event) -> None:
    """What a site does, in whatever way."""
    chance = random.Random(5)
    count = 0
    while not over.is_set():
        count += 1
        Customer.objects.filter(pk=chance.choice(Customer.objects.values_list("pk", flat=True))).update(
            cash=count
        )
        Customer.objects.bulk_create([Customer(name=f"new {count}")])
        Order.objects.filter(note=str(chance.randrange(40))).delete()
        Country.objects.filter(code=f"c{chance.randrange(40)}").update(name=f"land {count}")
        over.wait(0.01)
    connections.close_all()


def test_page_moves_a_database_while_the_site_writes() -> None:
    with captured_by_triggers("shop"):
        with unlogged("default"):
            fill()
        ChangeLog.objects.all().delete()
        (load, follow), ((verify, *wait),) = commands("Load and follow"), commands("Compare")
        over = threading.Event()
        writer = threading.Thread(target=write, args=[over])
        writer.start()
        try:
            loaded = manage(*load)
            assert loaded.returncode in (0, 3), loaded.stderr
            with processes.start("django", *follow, env=processes.environment(**SETTINGS)) as process:
                compared = manage(verify, *wait, "--json")
                over.set()
                writer.join()
                process.send_signal(signal.SIGTERM)
                process.communicate(timeout=60)
                assert process.returncode == 0
        finally:
            over.set()
            writer.join()
        assert compared.returncode == 0, compared.stdout
        for command in commands("Switch"):
            done = manage(*command)
            assert done.returncode == 0, done.stdout + done.stderr
    assert Customer.objects.using("remote").filter(name__startswith="new").exists()
    assert sorted(Order.objects.using("remote").values_list("pk", flat=True)) == sorted(
        Order.objects.values_list("pk", flat=True)
    )
