"""REMOTE's disk is full."""

from __future__ import annotations

import os
import random
import string
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.apps import apps
from django.contrib.contenttypes.models import ContentType
from django.core.management import CommandError, call_command
from django.db import connections
from django.test.utils import override_settings

from synchro.core import call_synchronize
from synchro.exceptions import NotReady
from tests.faults.disk import MEBIBYTE, CannotMount, Disk, on_small_disk
from tests.replay.compare import assert_same_rows
from tests.replay.deployments import remote_count
from tests.shop.models import Measurement

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "remote"])

PAIR = os.environ.get("SYNCHRO_TEST_PAIR", "sqlite-sqlite")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """REMOTE has only the tables that this needs, on a disk that is nearly full."""
    try:
        with on_small_disk("remote", PAIR.split("-")[1], tmp_path) as disk:
            ContentType.objects.clear_cache()
            with connections["remote"].schema_editor() as editor:
                own = apps.get_app_config("synchro").get_models()
                for model in (ContentType, *(each for each in own if not each._meta.proxy), Measurement):
                    editor.create_model(model)
            with override_settings(SYNCHRO_MODELS=[("shop", "Measurement")]):
                yield disk
    except CannotMount as error:
        pytest.skip(str(error))


def measure(count: int) -> None:
    """Rows of 20 kB that cannot be compressed to much less."""
    chance = random.Random(count)
    for _ in range(count):
        Measurement.objects.create(long="".join(chance.choices(string.printable[:90], k=20_000)))


def test_disk_that_is_full_ends_the_run_in_words_and_nothing_is_lost_or_doubled(disk: Disk) -> None:
    measure(3)
    call_synchronize()
    disk.fill(leave=MEBIBYTE)
    measure(150)
    Measurement.objects.order_by("pk")[1].delete()

    with pytest.raises(NotReady, match="disk of the database “remote” is full"):
        call_synchronize()
    with pytest.raises(CommandError, match="is full"):
        call_command("synchronize", verbosity=0)
    before = remote_count(Measurement)
    disk.make_room()
    call_synchronize()

    assert before == 3
    assert remote_count(Measurement) == 152
    assert_same_rows(Measurement)
