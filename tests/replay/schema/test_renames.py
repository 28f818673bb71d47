"""Entries, references and all else outlive the names of fields, sets, models and apps."""

from __future__ import annotations

import json
from ast import literal_eval
from collections.abc import Iterator
from typing import Any, cast

import pytest
from django.apps.registry import Apps
from django.contrib.contenttypes.models import ContentType
from django.db import connections, models
from django.db.migrations.state import ModelState, ProjectState
from django.test import override_settings

from synchro import moved
from synchro.core import DisableSynchroLog, call_synchronize
from synchro.exceptions import NotReady, Refused, WrongSetting
from synchro.models import (
    ADDITION,
    CHANGE,
    DELETION,
    M2M_CHANGE,
    Baseline,
    ChangeLog,
    Conflict,
    NamedTable,
    Node,
    Reference,
    SetAside,
)
from synchro.triggers.migrate import before_migrate
from synchro.triggers.watch import Watch
from tests.people.models import Twinning, Village
from tests.replay.compare import assert_same_rows
from tests.replay.deployments import (
    BY_TRIGGERS,
    LOCAL,
    REMOTE,
    create_on_remote,
    let_time_pass,
    other_side,
    remote,
    remote_count,
    unlogged,
    use_up_key_on_remote,
)
from tests.shop.models import Album, Artist, Band, Customer, Membership

pytestmark = pytest.mark.django_db(databases=["default", "remote"])


def log(instance: models.Model, action: int, **more: Any) -> None:
    content_type = ContentType.objects.get_for_model(instance)
    ChangeLog.objects.create(content_type=content_type, object_id=str(instance.pk), action=action, **more)


# -- fields and sets -----------------------------------------------------------------------------------------------


def test_a_change_of_a_field_that_has_another_name_now_arrives() -> None:
    ann = Customer.objects.create(name="Ann")
    call_synchronize()
    with DisableSynchroLog():
        Customer.objects.update(name="Anna", cash=5)
    log(ann, CHANGE, fields=("former_name",))

    call_synchronize()
    assert (remote(Customer).name, remote(Customer).cash) == ("Anna", 5)


def test_many_changes_of_a_field_that_has_another_name_now_arrive() -> None:
    customers = [Customer.objects.create(name=f"{number}") for number in range(20)]
    call_synchronize()
    with DisableSynchroLog():
        Customer.objects.update(cash=5)
    for customer in customers:
        log(customer, CHANGE, fields=("money", "name"))

    call_synchronize()
    assert_same_rows()


def test_a_refused_change_of_a_field_that_has_another_name_now_is_taken_up_again(quarantine: None) -> None:
    ann = Customer.objects.create(name="Ann")
    call_synchronize()
    with DisableSynchroLog():
        Customer.objects.update(cash=5)
    peer = Reference.objects.filter(content_type=ContentType.objects.get_for_model(Customer)).get().peer
    SetAside.objects.create(
        peer=peer, batch=1, content_type=ContentType.objects.get_for_model(Customer), object_id=str(ann.pk),
        changed=ChangeLog.objects.latest("id").date, times=json.dumps({"money": "2026-01-01T00:00:00+00:00"}),
    )  # fmt: skip

    call_synchronize(retry=True)
    assert remote(Customer).cash == 5


@pytest.mark.parametrize("name", ["players", "shop.Album.players", "gone.App.players"])
def test_a_change_of_a_set_that_has_another_name_now_arrives(name: str) -> None:
    use_up_key_on_remote(Artist, name="Other")
    blue, joni = Album.objects.create(name="Blue"), Artist.objects.create(name="Joni")
    call_synchronize()
    with DisableSynchroLog():
        blue.artists.add(joni)
    log(joni if "." in name else blue, M2M_CHANGE, fields=(name,), members="[]")

    call_synchronize()
    assert [one.name for one in remote(Album).artists.all()] == ["Joni"]


# -- a set's automatic table that is a model's now -----------------------------------------------------------------


@pytest.fixture
def joined() -> tuple[Band, Artist]:
    """A band and its member on both sides, which number the rows of `Membership` differently."""
    band, artist = Band.objects.create(name="Them"), Artist.objects.create(name="Van")
    call_synchronize()
    other = create_on_remote(Artist, name="Other")
    with unlogged(REMOTE):
        for _ in range(3):
            Membership.objects.using(REMOTE).create(band=remote(Band), artist=other).delete()
    return band, artist


def log_of_the_set(band: Band, artist: Artist, way: str) -> None:
    """An entry as it was written while the table was an automatic one."""
    if way == "pair":
        content_type = ContentType.objects.get_for_model(Membership)
        pair = json.dumps([band.pk, artist.pk], separators=(",", ":"))  # as triggers spell it
        ChangeLog.objects.create(content_type=content_type, object_id=pair, action=ADDITION)
    elif way == "other end":
        log(artist, M2M_CHANGE, fields=("shop.Band.members",), members=json.dumps([str(band.pk)]))
    else:
        log(band, M2M_CHANGE, fields=("members",), members=None if way == "whole" else f'["{artist.pk}"]')


@pytest.mark.parametrize("way", ["member", "whole", "other end", "pair"])
def test_a_change_of_a_set_that_has_a_model_of_its_own_now_arrives(
    joined: tuple[Band, Artist], way: str
) -> None:
    band, artist = joined
    with override_settings(SYNCHRO_MODEL_OPTIONS={"shop.Membership": {"NATURAL_KEY": ("band", "artist")}}):
        with DisableSynchroLog():
            made = Membership.objects.create(band=band, artist=artist, role="bass")
        log_of_the_set(band, artist, way)
        call_synchronize()
        assert (remote(Membership).artist.name, remote(Membership).role) == ("Van", "bass")

        with DisableSynchroLog():
            made.delete()
        log_of_the_set(band, artist, way)
        call_synchronize()
        assert remote_count(Membership) == 0


@pytest.mark.parametrize("way", ["member", "whole", "other end", "pair"])
@pytest.mark.parametrize("winner", ["remote", "local"])
def test_what_both_sides_did_to_a_pair_of_a_former_set_is_weighed(
    joined: tuple[Band, Artist], way: str, winner: str
) -> None:
    """Both entries were written while the table was an automatic one."""
    band, artist = joined
    with override_settings(SYNCHRO_MODEL_OPTIONS={"shop.Membership": {"NATURAL_KEY": ("band", "artist")}}):
        made = Membership.objects.create(band=band, artist=artist, role="bass")
        call_synchronize()
        let_time_pass()
        for says in ("local", "remote") if winner == "remote" else ("remote", "local"):
            if says == "local":
                with DisableSynchroLog():
                    made.delete()
                log_of_the_set(band, artist, way)
            else:  # it has the pair taken out and put in again
                with other_side():
                    log_of_the_set(Band.objects.get(), Artist.objects.get(name="Van"), way)
            let_time_pass()

        call_synchronize()
        assert Conflict.objects.get().decision == winner
        assert remote_count(Membership) == (1 if winner == "remote" else 0)
        with other_side():
            call_synchronize()
        assert [one.role for one in Membership.objects.all()] == (["bass"] if winner == "remote" else [])
        call_synchronize()
        assert Conflict.objects.count() == 1
        assert remote_count(Membership) == Membership.objects.count()


@pytest.mark.parametrize("way", ["member", "pair"])
def test_pair_of_a_former_set_that_remote_removed_later_does_not_come(
    joined: tuple[Band, Artist], way: str
) -> None:
    band, artist = joined
    with override_settings(SYNCHRO_MODEL_OPTIONS={"shop.Membership": {"NATURAL_KEY": ("band", "artist")}}):
        with DisableSynchroLog():
            Membership.objects.create(band=band, artist=artist, role="bass")
        log_of_the_set(band, artist, way)
        let_time_pass()
        with other_side():
            log_of_the_set(Band.objects.get(), Artist.objects.get(name="Van"), way)

        call_synchronize()
        assert remote_count(Membership) == 0
        assert Conflict.objects.get().decision == "remote"
        with other_side():
            call_synchronize()
        assert not Membership.objects.exists()


@pytest.mark.usefixtures("joined")
def test_a_table_that_is_a_models_now_needs_to_be_known_by_its_pairs() -> None:
    Artist.objects.create(name="Gone")
    call_synchronize()
    for alias in (LOCAL, REMOTE):  # as rows of an automatic table they have no references
        with unlogged(alias), DisableSynchroLog():
            for one in Artist.objects.using(alias).exclude(name="Other").order_by("-name"):
                Membership.objects.using(alias).create(band_id=Band.objects.using(alias).get().pk, artist=one)
    rows = list(Membership.objects.order_by("pk"))
    content_type = ContentType.objects.get_for_model(Membership)
    NamedTable.objects.create(
        content_type=2**31 - 1, app_label="shop", model="band_members", db_table="", successor=content_type.pk
    )
    rows[0].role = "bass"
    rows[0].save()
    rows[1].delete()

    with pytest.raises(NotReady, match="was the automatic table of a many-to-many field") as refused:
        call_synchronize()
    options = literal_eval(str(refused.value).rpartition(" = ")[2].removesuffix("."))
    with override_settings(SYNCHRO_MODEL_OPTIONS=options):
        call_synchronize()
        assert [(one.artist.name, one.role) for one in Membership.objects.using(REMOTE).all()] == [
            ("Van", "bass")
        ]


def test_a_pair_of_a_table_whose_model_joins_no_set_is_refused_in_words() -> None:
    content_type = ContentType.objects.get_for_model(Customer)
    ChangeLog.objects.create(content_type=content_type, object_id="[1,2]", action=ADDITION)

    with pytest.raises(Refused, match=r"pair \[1,2\] of a many-to-many table .*rows of shop\.Customer"):
        call_synchronize()


@pytest.mark.skipif(BY_TRIGGERS, reason="triggers see the mirrored rows themselves")
def test_mirrored_rows_of_a_through_model_arrive(settings: Any) -> None:
    settings.SYNCHRO_MODELS = ["people"]
    one, other = Village.objects.create(name="one"), Village.objects.create(name="other")
    one.twins.add(other)
    call_synchronize()
    found = Twinning.objects.using(REMOTE).values_list("one__name", "other__name")
    assert sorted(found) == [("one", "other"), ("other", "one")]

    one.twins.remove(other)
    call_synchronize()
    assert remote_count(Twinning) == 0


# -- models --------------------------------------------------------------------------------------------------------


def state_with(table: str) -> Apps:
    """The models before a migration that makes `shop.Customer` of `staff.Client`, whose table is `table`."""
    state = ProjectState()
    state.add_model(
        ModelState("staff", "Client", [("id", models.BigAutoField(primary_key=True))], {"db_table": table})
    )
    return state.apps


@pytest.fixture
def former() -> Iterator[dict[str, int]]:
    """All that is kept about customers is about `staff.Client`; REMOTE numbers them differently."""
    use_up_key_on_remote(Customer, name="Other")
    ann, bob = (Customer.objects.create(name=name) for name in ("Ann", "Bob"))
    call_synchronize()
    ann.cash = 5
    ann.save()
    bob.delete()
    Customer.objects.create(name="Cid")
    types = {}
    for alias in (LOCAL, REMOTE):
        now = ContentType.objects.db_manager(alias).get_for_model(Customer)
        was = ContentType.objects.db_manager(alias).create(app_label="staff", model="client")
        moved.carry_over(alias, now.pk, was.pk)
        NamedTable.objects.using(alias).all().delete()
        types[alias] = was.pk
    assert Reference.objects.filter(content_type_id=types[LOCAL]).count() == 2
    yield types
    ContentType.objects.clear_cache()


def migrate(alias: str, table: str = "shop_customer") -> None:
    moved.before_migrate(None, using=alias, apps=state_with(table))
    moved.after_migrate(None, using=alias)


def assert_all_has_moved(former: dict[str, int]) -> None:
    for alias, was in former.items():
        for model in (ChangeLog, Reference, Baseline, Conflict, SetAside):
            assert not model._base_manager.using(alias).filter(content_type_id=was).exists(), (alias, model)
    call_synchronize()
    assert sorted(Customer.objects.using(REMOTE).values_list("name", "cash")) == [
        ("Ann", 5),
        ("Cid", 0),
    ]
    Customer.objects.filter(name="Ann").get().save()
    log(Customer.objects.get(name="Ann"), CHANGE)
    call_synchronize()
    assert remote_count(Customer) == 2


def test_what_is_kept_about_a_model_goes_over_to_the_one_that_has_its_table(former: dict[str, int]) -> None:
    for alias in former:
        migrate(alias)
    assert_all_has_moved(former)


def test_a_table_is_followed_when_it_is_renamed_too(former: dict[str, int]) -> None:
    for alias in former:
        before_migrate(None, using=alias)
        moved.before_migrate(None, using=alias, apps=state_with("staff_client"))
        moved.table_renamed(alias, "staff_client", "shop_customer")
        moved.after_migrate(None, using=alias)
        cast(Watch, Watch.of(connections[alias])).end()
    assert_all_has_moved(former)


def test_a_model_may_go_with_one_migrate_and_come_with_another(former: dict[str, int]) -> None:
    for alias in former:
        moved.before_migrate(None, using=alias, apps=state_with("shop_customer"))
        moved.after_migrate(None, using=alias, apps=Apps())
        ContentType.objects.using(alias).filter(
            pk=former[alias]
        ).delete()  # as remove_stale_contenttypes does
        moved.before_migrate(None, using=alias, apps=Apps())
        moved.after_migrate(None, using=alias)
    assert_all_has_moved(former)


def test_migrate_notes_the_tables_of_watched_models_beforehand() -> None:
    through = ContentType.objects.get_for_model(Album.artists.through)
    moved.after_migrate(None, using=LOCAL)
    noted = NamedTable.objects.get(content_type=ContentType.objects.get_for_model(Customer).pk)
    assert (noted.app_label, noted.model, noted.db_table) == ("shop", "customer", "shop_customer")
    assert NamedTable.objects.get(content_type=through.pk).db_table == Album.artists.through._meta.db_table


def test_a_setting_says_where_a_model_is_that_its_table_does_not_tell(former: dict[str, int]) -> None:
    for alias in former:
        migrate(alias, "another_table")
    with override_settings(SYNCHRO_MOVED={"Staff.Client": "shop.Customer"}):
        try:
            call_synchronize()
        finally:
            ContentType.objects.clear_cache()
        assert_all_has_moved(former)
        call_synchronize()


@pytest.mark.parametrize("value", [["staff.Client"], {"staff": "shop.Customer"}, {"staff.Client": None}])
def test_a_setting_that_names_no_models_is_wrong(value: Any) -> None:
    with override_settings(SYNCHRO_MOVED=value), pytest.raises(WrongSetting, match="SYNCHRO_MOVED"):
        call_synchronize()


def test_a_setting_that_names_a_model_that_is_not_there_is_wrong() -> None:
    with (
        override_settings(SYNCHRO_MOVED={"staff.Client": "shop.Nobody"}),
        pytest.raises(WrongSetting, match="Nobody"),
    ):
        call_synchronize()


def test_what_a_process_logs_that_still_has_the_former_model_arrives_too(former: dict[str, int]) -> None:
    for alias in former:
        migrate(alias)
    call_synchronize()
    cid = Customer.objects.get(name="Cid")
    with DisableSynchroLog():
        Customer.objects.update(cash=9)
    ChangeLog.objects.create(content_type_id=former[LOCAL], object_id=str(cid.pk), action=CHANGE)

    call_synchronize()
    assert remote(Customer, name="Cid").cash == 9


def test_the_node_knows_its_newest_entry_by_the_new_name(former: dict[str, int]) -> None:
    ChangeLog.objects.create(content_type_id=former[LOCAL], object_id="77", action=DELETION)
    call_synchronize()
    highest = Node.objects.get(pk=1).highest
    for alias in former:
        migrate(alias)
    # Else all of the log would look new.
    assert json.loads(Node.objects.get(pk=1).newest)[0] == ContentType.objects.get_for_model(Customer).pk
    assert call_synchronize().entries == ChangeLog.objects.filter(id__lte=highest).count() - 2
    assert call_synchronize().entries == 0


def test_what_a_run_could_not_read_is_read_once_its_model_is_known(former: dict[str, int]) -> None:
    report = call_synchronize()
    assert any("staff.client" in warning for warning in report.warnings)
    assert str(former[LOCAL]) in json.loads(Node.objects.get(pk=1).unread)
    for alias in former:
        migrate(alias)
    assert_all_has_moved(former)
    assert json.loads(Node.objects.get(pk=1).unread) == {}


def test_a_model_that_moves_back_is_itself_again(former: dict[str, int]) -> None:
    for alias in former:
        migrate(alias)
        now = ContentType.objects.db_manager(alias).get_for_model(Customer)
        moved.carry_over(alias, now.pk, former[alias])
        migrate(alias)
    assert_all_has_moved(former)


def test_pending_entries_outlive_the_removal_of_stale_content_types(former: dict[str, int]) -> None:
    count = ChangeLog.objects.count()
    ContentType.objects.get(pk=former[LOCAL]).delete()
    assert ChangeLog.objects.count() == count


@pytest.mark.parametrize("alias", [LOCAL, REMOTE])
@pytest.mark.parametrize("how", ["renamed", "moved"])
def test_a_process_that_still_has_the_former_model_does_not_synchronize(alias: str, how: str) -> None:
    """It would find no references, and so double the rows that it brings."""
    use_up_key_on_remote(Customer, name="Other")
    ann = Customer.objects.create(name="Ann")
    call_synchronize()
    for each in (LOCAL, REMOTE):
        moved.after_migrate(None, using=each)
    types = ContentType.objects.db_manager(alias)
    own = types.get_for_model(Customer)
    if how == "renamed":
        types.filter(pk=own.pk).update(app_label="staff", model="client")
    else:
        client = types.create(app_label="staff", model="client")
        NamedTable.objects.using(alias).create(
            content_type=client.pk, app_label="staff", model="client", db_table="shop_customer"
        )
        moved.carry_over(alias, own.pk, client.pk)
    ann.cash = 5
    ann.save()

    with pytest.raises(NotReady, match=r"staff\.client"):
        call_synchronize()

    assert remote_count(Customer) == 1
