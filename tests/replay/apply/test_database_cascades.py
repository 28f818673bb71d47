"""What the database deletes along with a row is guarded as what Django deletes along with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import models
from django.db.models.signals import post_save

from synchro.core import call_synchronize
from synchro.models import Conflict
from tests.replay.deployments import let_time_pass, other_side, remote, remote_count, watching

if not hasattr(models, "DB_CASCADE"):
    pytest.skip("new in Django 6.1", allow_module_level=True)

from tests.capture.models import File, Folder, Remark, Shelf

pytestmark = pytest.mark.django_db(databases=["default", "remote"])


@pytest.fixture(scope="module", autouse=True)
def watched(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    with watching(django_db_blocker, "capture"):
        yield


@pytest.fixture
def folder(db: None) -> Folder:
    """A folder that both sides have."""
    found = Folder.objects.create(name="Watch")
    call_synchronize()
    let_time_pass()
    return found


def test_row_that_remote_gave_a_child_after_it_was_deleted_here_stays(folder: Folder) -> None:
    key = str(folder.pk)
    Folder.objects.create(name="Day Watch", inside=folder)
    call_synchronize()
    let_time_pass()
    folder.delete()
    let_time_pass()
    with other_side():
        File.objects.create(folder=Folder.objects.get(name="Day Watch"), slug="newer")

    call_synchronize()

    assert remote(File, slug="newer").folder.inside.name == "Watch"
    conflict = Conflict.objects.get(object_id=key)
    assert (conflict.fields, conflict.decision) == (None, "remote")


def test_row_that_remote_gave_a_child_before_it_was_deleted_here_goes(folder: Folder) -> None:
    with other_side():
        File.objects.create(folder=Folder.objects.get(), slug="older")
    let_time_pass()
    folder.delete()

    call_synchronize()

    assert (remote_count(Folder), remote_count(File)) == (0, 0)


def test_what_the_database_deletes_with_a_row_that_a_receiver_deletes_is_there_again(
    all_receivers: None, folder: Folder
) -> None:
    def remove(using: str, **kwargs: Any) -> None:
        Folder.objects.using(using).filter(name="Watch").delete()

    inner = Folder.objects.create(name="Day Watch", inside=folder)
    file = File.objects.create(folder=inner, slug="report")
    Remark.objects.create(file=file, text="late")
    call_synchronize()
    Shelf.objects.create(name="oak")
    post_save.connect(remove, sender=Shelf)
    try:
        call_synchronize()
    finally:
        post_save.disconnect(remove, sender=Shelf)

    assert remote(File).folder.inside.name == "Watch"
    assert remote(Remark).file.slug == "report"
