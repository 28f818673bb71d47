"""LOCAL is a copy of REMOTE: the office loaded a dump of the main database."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import connections
from django.test import override_settings

from synchro.core import DisableSynchroLog, call_synchronize, reset_synchro
from synchro.exceptions import UnknownState
from synchro.models import Baseline, ChangeLog, Node, Reference
from tests.fewer_apps import only
from tests.replay import processes
from tests.replay.compare import assert_same_rows
from tests.replay.deployments import (
    BY_TRIGGERS,
    LOCAL,
    REMOTE,
    create_on_remote,
    let_time_pass,
    make_local_a_copy_of_remote,
    other_side,
    pass_sequences,
    remote,
    remote_count,
    save_unlogged,
    set_capture,
    unlogged,
)
from tests.shop.models import Album, Artist, Category, Customer, Order, Pizzeria, Place, Restaurant

pytestmark = pytest.mark.django_db(databases=["default", "remote"])


@pytest.fixture
def copied(db: None) -> None:
    """Rows that both sides have, under keys with gaps between them."""
    with DisableSynchroLog():
        for name in ("Vimes", "gap", "Carrot", "Nobby"):
            customer = Customer.objects.create(name=name)
            Order.objects.create(customer=customer, note=name)
        Customer.objects.get(name="gap").delete()
        album = Album.objects.create(name="Blue")
        album.artists.add(Artist.objects.create(name="Joni"))
        root = Category.objects.create(name="root")
        Category.objects.create(name="leaf", parent=root)
    make_local_a_copy_of_remote(Customer, Order, Album, Artist, Album.artists.through, Category)


@pytest.fixture
def reset(copied: None) -> None:
    reset_synchro()


def test_copy_that_bears_remotes_name_stops_and_says_to_reset(copied: None) -> None:
    Customer.objects.create(name="Angua")

    with pytest.raises(UnknownState, match="reset_synchro"):
        call_synchronize()

    assert remote_count(Customer) == 3


def test_copy_gets_a_name_of_its_own_by_a_reset(reset: None) -> None:
    assert Node.objects.get().uuid != Node.objects.using(REMOTE).get().uuid


def test_edit_of_a_row_that_was_copied_changes_the_same_row(reset: None) -> None:
    customer = Customer.objects.get(name="Carrot")
    customer.cash = 5
    customer.save()

    call_synchronize()

    assert remote(Customer, pk=customer.pk).cash == 5
    assert remote_count(Customer) == 3
    assert_same_rows()


def test_deletion_of_a_row_that_was_copied_deletes_the_same_row(reset: None) -> None:
    customer = Customer.objects.get(name="Carrot")
    customer.delete()

    call_synchronize()

    assert {one.name for one in Customer.objects.using(REMOTE)} == {"Vimes", "Nobby"}
    assert_same_rows()


def test_new_row_gets_a_key_of_remotes_and_overwrites_nothing(reset: None) -> None:
    """REMOTE gave the next key to a row of its own meanwhile."""
    customer = Customer.objects.create(name="Angua")
    own = create_on_remote(Customer, name="REMOTE's own", pk=customer.pk)
    pass_sequences(Customer)

    call_synchronize()

    assert remote(Customer, pk=own.pk).name == "REMOTE's own"
    assert remote(Customer, name="Angua").pk != own.pk


def test_new_row_whose_key_remote_has_given_away_is_not_deleted_in_its_stead(reset: None) -> None:
    own = create_on_remote(Customer, name="REMOTE's own")
    customer = Customer.objects.create(name="Angua")
    customer.delete()

    call_synchronize()

    assert remote(Customer, pk=own.pk).name == "REMOTE's own"


def test_new_rows_may_point_at_rows_that_were_copied(reset: None) -> None:
    Order.objects.create(customer=Customer.objects.get(name="Vimes"), note="new")
    Category.objects.create(name="bud", parent=Category.objects.get(name="leaf"))
    Album.objects.get().artists.add(Artist.objects.create(name="James"))

    call_synchronize()

    assert remote(Order, note="new").customer.name == "Vimes"
    assert remote(Category, name="bud").parent.parent.name == "root"
    assert {one.name for one in remote(Album).artists.all()} == {"Joni", "James"}
    assert (remote_count(Customer), remote_count(Category), remote_count(Album)) == (3, 3, 1)


def test_row_that_was_copied_and_deleted_on_remote_since_comes_back_as_a_new_one(reset: None) -> None:
    with unlogged(REMOTE):
        Customer.objects.using(REMOTE).filter(name="Carrot").delete()
    customer = Customer.objects.get(name="Carrot")
    customer.cash = 5
    customer.save()

    call_synchronize()

    assert remote(Customer, name="Carrot").cash == 5
    assert remote_count(Customer) == 3


def test_edit_on_remote_of_a_row_that_was_copied_comes_to_the_same_row_here(reset: None) -> None:
    call_synchronize()
    let_time_pass()
    with other_side():
        customer = Customer.objects.get(name="Carrot")
        customer.cash = 7
        customer.save()
        Customer.objects.get(name="Nobby").delete()

        call_synchronize()

    assert Customer.objects.get(name="Carrot").cash == 7
    assert Customer.objects.count() == 2
    assert_same_rows()


def test_reset_by_a_process_that_goes_on_is_about_the_models_of_the_copy() -> None:
    """The copy numbers content types in another way than the database in whose place it was put."""
    for number in range(3):
        save_unlogged(Place(name=f"{number}"))
    types = ContentType.objects.db_manager(LOCAL)
    first, second = types.get_for_model(Place), types.get_for_model(Artist)
    for content_type, name in ((first, "gone"), (second, "place"), (first, "artist")):
        types.filter(pk=content_type.pk).update(model=name)

    reset_synchro()

    assert {note.content_type_id: note.highest for note in Baseline.objects.all()}[second.pk] >= 3


def test_row_of_several_tables_that_was_copied_is_the_same_row() -> None:
    with DisableSynchroLog():
        Pizzeria.objects.create(name="Mario", seats=3)
    for model in (Place, Restaurant, Pizzeria):
        columns = {f.attname: f.value_from_object(model.objects.get()) for f in model._meta.local_fields}
        bare = model(**columns)
        bare.save_base(raw=True, using=REMOTE, force_insert=True)
    make_local_a_copy_of_remote()
    reset_synchro()

    pizzeria = Pizzeria.objects.get()
    pizzeria.name, pizzeria.ovens = "Luigi", 9
    pizzeria.save()
    call_synchronize()

    assert (remote(Pizzeria).name, remote(Pizzeria).ovens) == ("Luigi", 9)
    assert remote_count(Place) == 1


def test_references_of_the_former_life_are_kept_by_a_reset() -> None:
    Customer.objects.create(name="Vimes")
    call_synchronize()

    reset_synchro(is_copy=True)

    assert Reference.objects.count() == 1


@pytest.mark.parametrize("policy", ["newer", "remote"])
def test_what_remote_had_logged_before_the_copy_is_no_conflict(policy: str) -> None:
    customer = Customer.objects.create(name="Vimes")
    make_local_a_copy_of_remote(Customer)
    for entry in ChangeLog.objects.all():
        entry.content_type_id = ContentType.objects.db_manager(REMOTE).get_for_model(Customer).pk
        entry.save(using=REMOTE)
    reset_synchro()
    customer.cash = 5
    customer.save()

    with override_settings(SYNCHRO_CONFLICT=policy):
        report = call_synchronize()

    assert report.conflicts == 0
    assert remote(Customer, name="Vimes").cash == 5


def test_row_goes_back_to_its_original_after_a_reset() -> None:
    Customer.objects.create(name="Vimes")
    create_on_remote(Customer, name="Rust")
    call_synchronize()
    reset_synchro(is_copy=True)

    with other_side():
        customer = Customer.objects.get(name="Vimes")
        customer.cash = 5
        customer.save()
        call_synchronize()

    assert [(c.name, c.cash) for c in Customer.objects.filter(name="Vimes")] == [("Vimes", 5)]


def test_row_is_known_to_a_remote_that_was_reset() -> None:
    create_on_remote(Customer, name="Rust")
    customer = Customer.objects.create(name="Vimes")
    call_synchronize()
    with other_side():
        reset_synchro()

    customer.cash = 5
    customer.save()
    call_synchronize()

    assert remote(Customer, name="Vimes").cash == 5
    assert remote_count(Customer) == 2


def test_rows_that_came_after_a_reset_are_not_taken_for_those_before() -> None:
    lost = Customer.objects.create(name="Vimes")
    call_synchronize()
    reset_synchro(is_copy=True)
    with DisableSynchroLog():
        key = lost.pk
        lost.delete()
    Customer.objects.create(pk=key + 1, name="Carrot")

    call_synchronize()

    assert remote_count(Customer) == 2


@pytest.mark.once
@pytest.mark.django_db(databases=["default", "remote"], transaction=True)
def test_migrations_name_the_node() -> None:
    with only("tests.people", watched=["people"]):
        call_command("migrate", "synchro", "0001", verbosity=0)
        call_command("migrate", "synchro", verbosity=0)

    assert Node.objects.count() == 1
    if BY_TRIGGERS:
        set_capture(LOCAL, "triggers")


@pytest.mark.django_db(databases=["default", "remote"], transaction=True)
def test_one_database_under_two_spellings_is_said_to_be_one(tmp_path: Path) -> None:
    """That is no copy, and nothing is to be reset."""
    url = processes.database_url(LOCAL)
    if connections[LOCAL].vendor == "sqlite":
        (tmp_path / "link").symlink_to(Path(connections[LOCAL].settings_dict["NAME"]).parent)
        other = f"sqlite:///{tmp_path / 'link' / Path(connections[LOCAL].settings_dict['NAME']).name}"
    else:
        other = url.replace("@127.0.0.1:", "@127.1:")
    assert other != url

    found = processes.run("django", "synchronize", env=processes.environment(remote=other))

    assert found.returncode == 1
    assert "one and the same database" in found.stderr
    assert "reset" not in found.stderr
