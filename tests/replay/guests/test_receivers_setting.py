"""SYNCHRO_RECEIVERS says whose code runs on REMOTE; where it runs, LOCAL is not written."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import connections, models, transaction
from django.db.models import F, Model
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_delete, pre_save
from django.dispatch import Signal
from django.test.utils import CaptureQueriesContext

from synchro.core import DisableSynchroLog, call_synchronize
from synchro.exceptions import AfterCommit, Refused, SynchroError, WrongDatabase, WrongSetting
from synchro.models import ChangeLog
from tests.replay.compare import assert_same_rows
from tests.replay.deployments import BY_TRIGGERS, LOCAL, REMOTE, captured_by_triggers, remote, remote_count
from tests.replay.refusals import aside, place
from tests.shop.models import (
    Album,
    Artist,
    Country,
    Customer,
    Order,
    Pizzeria,
    Seat,
    Ticket,
    VipCustomer,
)

pytestmark = pytest.mark.django_db(databases=["default", "remote"])

HERE = "tests.replay.guests.test_receivers_setting"
#: What the receivers below were called for, on REMOTE: their names.
calls: list[str] = []


@pytest.fixture(autouse=True)
def _all_of_them(settings: Any) -> Iterator[None]:
    """Tests that choose otherwise say so."""
    settings.SYNCHRO_RECEIVERS = "all"
    calls.clear()
    Ticket.calls.clear()
    yield
    calls.clear()


@contextmanager
def connected(signal: Signal, *receivers: Callable[..., Any], sender: Any = None) -> Iterator[None]:
    with ExitStack() as stack:
        for receiver in receivers:
            signal.connect(receiver, sender=sender)
            stack.callback(signal.disconnect, receiver, sender=sender)
        yield


def count(using: str, **kwargs: Any) -> None:
    if using == REMOTE:
        calls.append("count")


def index(using: str, **kwargs: Any) -> None:
    if using == REMOTE:
        calls.append("index")


async def notify(using: str, **kwargs: Any) -> None:
    if using == REMOTE:
        calls.append("notify")


class Search:
    def update(self, using: str, **kwargs: Any) -> None:
        if using == REMOTE:
            calls.append("Search.update")


# -- nobody ----------------------------------------------------------------------------------------------------


def test_none_of_the_code_runs_where_the_setting_says_so_and_all_rows_arrive(settings: Any) -> None:
    settings.SYNCHRO_RECEIVERS = "none"
    customer = Customer.objects.create(name="Vimes")
    ticket = Ticket.objects.create(title="to the opera", customer=customer)
    album = Album.objects.create(name="Blue")
    album.artists.add(Artist.objects.create(name="Joni"))
    Pizzeria.objects.create(name="Mario", seats=20, ovens=2)
    Ticket.calls.clear()
    with ExitStack() as stack:
        for signal in (pre_save, post_save, pre_delete, post_delete, m2m_changed):
            stack.enter_context(connected(signal, count, index, notify))
        call_synchronize()
        assert_same_rows()
        Ticket.objects.update(title_upper="as LOCAL has it")
        album.artists.clear()
        ticket.delete()
        customer.delete()
        Ticket.calls.clear()
        call_synchronize()

    assert (calls, Ticket.calls) == ([], [])
    assert (remote_count(Ticket), remote_count(Customer)) == (0, 0)
    assert_same_rows()


@pytest.mark.parametrize("receivers", ["none", [f"{HERE}.index"], ["all", f"-{HERE}"]])
def test_what_does_not_run_leaves_the_bulk_path_open(settings: Any, receivers: Any) -> None:
    settings.SYNCHRO_RECEIVERS = receivers

    def statements(number: int) -> int:
        Customer.objects.bulk_create(Customer(name=f"no. {place}") for place in range(number))
        if not BY_TRIGGERS:
            for customer in Customer.objects.order_by("-pk")[:number]:
                customer.save()
        with CaptureQueriesContext(connections[REMOTE]) as captured:
            call_synchronize()
        return len(captured)

    with connected(post_save, count), connected(pre_delete, count):
        few, many = statements(3), statements(60)

    assert many <= few
    assert calls == []
    assert_same_rows(Customer)


def test_methods_of_the_models_own_do_not_run_and_its_columns_have_locals_values(settings: Any) -> None:
    settings.SYNCHRO_RECEIVERS = "none"
    ticket = Ticket(title="to the opera", title_upper="as LOCAL has it")
    Model.save(ticket)
    call_synchronize()

    assert remote(Ticket).title_upper == "as LOCAL has it"
    assert Ticket.calls == []


def test_cascade_on_remote_reaches_no_receiver_that_is_not_chosen(settings: Any) -> None:
    """What only REMOTE has goes with its parent by Django's rules, and nobody hears of it."""
    customer = Customer.objects.create(name="Vimes")
    call_synchronize()
    with DisableSynchroLog():
        Order.objects.using(REMOTE).create(customer=remote(Customer))
    settings.SYNCHRO_RECEIVERS = "none"
    with connected(pre_delete, count), connected(post_delete, count):
        customer.delete()
        with suppress(SynchroError):  # an order that nobody has sent yet may keep its customer
            call_synchronize()

    assert calls == []


def test_default_follows_the_way_of_capture(settings: Any) -> None:
    del settings.SYNCHRO_RECEIVERS
    with connected(post_save, count, sender=Customer):
        Customer.objects.create(name="Vimes")
        call_synchronize()

    assert calls == ([] if BY_TRIGGERS else ["count"])
    assert_same_rows(Customer)


@pytest.mark.django_db(databases=["default", "remote"], transaction=True)  # MySQL commits what makes triggers
def test_nothing_runs_by_default_where_capture_is_by_triggers(settings: Any) -> None:
    del settings.SYNCHRO_RECEIVERS
    with captured_by_triggers("shop"), connected(post_save, count, sender=Customer):
        Customer.objects.create(name="Vimes")
        call_synchronize()

    assert calls == []
    assert_same_rows(Customer)


# -- some ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("receivers", "expected"),
    [
        ("all", ["count", "index", "notify"]),
        ("none", []),
        ([], []),
        ([f"{HERE}.index"], ["index"]),
        ((f"{HERE}.index", f"{HERE}.notify"), ["index", "notify"]),
        ([HERE], ["count", "index", "notify"]),
        (["shop.Customer"], ["count", "index", "notify"]),
        (["shop.customer"], ["count", "index", "notify"]),
        (["shop.Order"], []),
        (["shop"], []),
        (["people"], []),
        (["all", f"-{HERE}.index"], ["count", "notify"]),
        (["shop.Customer", f"-{HERE}.notify"], ["count", "index"]),
        (["all", "-shop.Customer"], []),
    ],
)
def test_only_the_chosen_receivers_run(settings: Any, receivers: Any, expected: list[str]) -> None:
    settings.SYNCHRO_RECEIVERS = receivers
    Customer.objects.create(name="Vimes")
    with connected(post_save, count, index, notify, sender=Customer):
        call_synchronize()

    assert sorted(calls) == expected
    assert_same_rows(Customer)


@pytest.mark.parametrize(
    ("receivers", "expected"),
    [
        (["shop"], ["save", "delete"]),
        (["tests.shop"], ["save", "delete"]),
        (["shop.Ticket"], ["save", "delete"]),
        (["tests.shop.models.Ticket.save"], ["save"]),
        (["tests.shop.models.Ticket.delete"], ["delete"]),
        (["all", "-tests.shop.models.Ticket.save"], ["delete"]),
        (["spicy"], []),
        ("raw", []),
    ],
)
def test_only_the_chosen_methods_run(settings: Any, receivers: Any, expected: list[str]) -> None:
    settings.SYNCHRO_RECEIVERS = receivers
    ticket = Ticket.objects.create(title="to the opera")
    Ticket.calls.clear()
    call_synchronize()
    assert_same_rows(Ticket)
    ran = [verb for verb, alias in Ticket.calls if alias == REMOTE]
    ticket.delete()
    Ticket.calls.clear()
    call_synchronize()

    assert ran + [verb for verb, alias in Ticket.calls if alias == REMOTE] == expected
    assert remote_count(Ticket) == 0


def test_chosen_receiver_runs_without_the_methods_that_are_not(settings: Any) -> None:
    settings.SYNCHRO_RECEIVERS = [HERE]
    ticket = Ticket.objects.create(title="to the opera")
    Ticket.calls.clear()
    with connected(post_save, count, sender=Ticket), connected(post_delete, index, sender=Ticket):
        call_synchronize()
        ticket.delete()
        Ticket.calls.clear()
        call_synchronize()

    assert calls == ["count", "index"]
    assert Ticket.calls == []
    assert remote_count(Ticket) == 0


def test_receivers_of_a_models_own_attribute_come_first(settings: Any, monkeypatch: Any) -> None:
    settings.SYNCHRO_RECEIVERS = "none"
    monkeypatch.setattr(Customer, "SYNCHRO_RECEIVERS", [f"{HERE}.index"], raising=False)
    Customer.objects.create(name="Vimes")
    Seat.objects.create(number=1)
    with connected(post_save, count, index):
        call_synchronize()

    assert calls == ["index"]


@pytest.mark.parametrize(("receivers", "expected"), [("none", []), (None, ["count"])])
def test_model_that_declares_a_set_decides_who_hears_of_its_members(
    monkeypatch: Any, receivers: Any, expected: list[str]
) -> None:
    monkeypatch.setattr(Album, "SYNCHRO_RECEIVERS", receivers, raising=False)
    album, artist = Album.objects.create(name="Blue"), Artist.objects.create(name="Joni")
    call_synchronize()
    with connected(m2m_changed, count, sender=Album.artists.through):
        artist.album_set.add(album)
        call_synchronize()

    assert calls == expected * 2
    assert_same_rows()


def test_wrong_choice_of_a_model_stops_the_run(monkeypatch: Any) -> None:
    monkeypatch.setattr(Customer, "SYNCHRO_RECEIVERS", "some", raising=False)
    Customer.objects.create(name="Vimes")

    with pytest.raises(
        WrongSetting, match=r"SYNCHRO_RECEIVERS of shop\.Customer is 'some'.*'all', 'none', 'raw'"
    ):
        call_synchronize()


def test_methods_of_objects_and_receivers_that_hold_nothing_are_chosen_by_their_class(settings: Any) -> None:
    settings.SYNCHRO_RECEIVERS = [f"{HERE}.Search"]
    search = Search()
    Customer.objects.create(name="Vimes")
    with connected(post_save, search.update, count, sender=Customer):
        call_synchronize()

    assert calls == ["Search.update"]


def test_what_a_chosen_receiver_saves_on_remote_reaches_no_other_receiver(settings: Any) -> None:
    def save_more(using: str, **kwargs: Any) -> None:
        Country.objects.using(using).create(code="PL")

    settings.SYNCHRO_RECEIVERS = [
        f"{HERE}.test_what_a_chosen_receiver_saves_on_remote_reaches_no_other_receiver"
    ]
    Customer.objects.create(name="Vimes")
    with connected(post_save, save_more, sender=Customer), connected(post_save, count, sender=Country):
        call_synchronize()

    assert remote(Country).code == "PL"
    assert calls == []


def test_receiver_of_a_proxy_hears_of_nothing_on_remote() -> None:
    """As ever: Django sends its signals for the class of the object, and REMOTE's are of the concrete model."""
    VipCustomer.objects.create(name="Vetinari")
    with connected(post_save, count, sender=VipCustomer):
        call_synchronize()

    assert calls == []


def test_receivers_hear_of_the_child_in_multi_table_inheritance(settings: Any) -> None:
    settings.SYNCHRO_RECEIVERS = ["shop.Pizzeria"]
    heard: list[str] = []

    def hear(sender: type[Model], using: str, **kwargs: Any) -> None:
        if using == REMOTE:
            heard.append(sender.__name__)

    Pizzeria.objects.create(name="Mario", seats=20, ovens=2)
    with connected(post_save, hear):
        call_synchronize()

    assert heard == ["Pizzeria"]
    assert_same_rows()


@pytest.mark.django_db(databases=["default", "remote"], transaction=True)
def test_other_threads_reach_all_receivers_while_a_run_goes_on(settings: Any) -> None:
    settings.SYNCHRO_RECEIVERS = [f"{HERE}.test_other_threads_reach_all_receivers_while_a_run_goes_on"]
    heard: list[str] = []

    def hear(instance: Country, **kwargs: Any) -> None:
        heard.append(instance.code)

    def work() -> None:
        country = Country(code="of another thread")
        post_save.send(
            sender=Country, instance=country, created=True, raw=False, update_fields=None, using="nowhere"
        )
        connections.close_all()

    def start(using: str, **kwargs: Any) -> None:
        if using == REMOTE:
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()

    settings.SYNCHRO_RECEIVERS.append("-" + settings.SYNCHRO_RECEIVERS[0] + ".<locals>.hear")
    Customer.objects.create(name="Vimes")
    Country.objects.create(code="of this run")
    with connected(post_save, start, sender=Customer), connected(post_save, hear, sender=Country):
        call_synchronize()
        Country.objects.create(code="after the run")

    assert heard == ["of another thread", "after the run"]


# -- raw -------------------------------------------------------------------------------------------------------


def test_raw_receivers_are_called_as_for_a_fixture(settings: Any) -> None:
    settings.SYNCHRO_RECEIVERS = "raw"
    heard: list[tuple[bool, bool]] = []

    def hear(using: str, raw: bool, created: bool, **kwargs: Any) -> None:
        if using == REMOTE:
            heard.append((raw, created))

    ticket = Ticket.objects.create(title="to the opera", customer=Customer.objects.create(name="Vimes"))
    Ticket.calls.clear()
    with connected(post_save, hear, sender=Ticket):
        call_synchronize()
        ticket.title = "to the theatre"
        Model.save(ticket)
        call_synchronize()

    assert heard == [(True, True), (True, False)]
    assert Ticket.calls == []
    assert_same_rows()


def test_raw_saves_write_the_tables_of_a_child_and_its_parents(settings: Any) -> None:
    settings.SYNCHRO_RECEIVERS = "raw"
    with connected(post_save, count, sender=Pizzeria):
        pizzeria = Pizzeria.objects.create(name="Mario", seats=20, ovens=2)
        call_synchronize()
        assert_same_rows()
        pizzeria.name, pizzeria.ovens = "Luigi", 3
        pizzeria.save()
        call_synchronize()

    assert calls == ["count", "count"]
    assert_same_rows()


# -- LOCAL is protected ----------------------------------------------------------------------------------------


def write_to_default(**kwargs: Any) -> None:
    Country.objects.create(code="PL")


def lower_in_default(instance: Any, **kwargs: Any) -> None:
    Seat.objects.filter(number=1).update(row=F("row") + "!")


def swallow(**kwargs: Any) -> None:
    with suppress(Exception):
        write_to_default()


def only_on_remote(receiver: Callable[..., Any]) -> Callable[..., Any]:
    """So that LOCAL's own saves do nothing."""

    def receive(using: str, **kwargs: Any) -> None:
        if using == REMOTE:
            receiver(using=using, **kwargs)

    return receive


@pytest.mark.parametrize("signal", [pre_save, post_save, pre_delete, post_delete])
@pytest.mark.parametrize("write", [write_to_default, lower_in_default, swallow])
def test_receiver_that_writes_to_local_stops_the_run_by_name_and_local_stays_as_it_is(
    signal: Signal, write: Callable[..., None]
) -> None:
    Seat.objects.create(number=1)
    customer = Customer.objects.create(name="Vimes")
    if signal in (pre_delete, post_delete):
        call_synchronize()
        key = customer.pk
        customer.delete()
    else:
        key = customer.pk
    before, entries = list(Seat.objects.values()), ChangeLog.objects.count()

    words = rf"shop\.Customer {key}: .*only_on_remote.*“default”.*SYNCHRO_RECEIVERS"
    receiver = only_on_remote(write)
    with connected(signal, receiver, sender=Customer), pytest.raises(WrongDatabase, match=words):
        call_synchronize()

    assert list(Seat.objects.values()) == before
    assert not Country.objects.exists()
    assert ChangeLog.objects.count() == entries
    call_synchronize()
    assert_same_rows()


def test_key_of_the_object_is_locals_where_the_two_sides_have_others() -> None:
    with DisableSynchroLog():
        for number in range(20, 29):
            Seat.objects.using(REMOTE).create(number=number)
    seat = Seat.objects.create(number=1)
    call_synchronize()
    assert remote(Seat, number=1).pk != seat.pk
    key = seat.pk
    seat.delete()

    receiver, words = only_on_remote(write_to_default), rf"shop\.Seat {key}: "
    with connected(pre_delete, receiver, sender=Seat), pytest.raises(WrongDatabase, match=words):
        call_synchronize()


def test_receiver_that_writes_to_local_is_left_out_by_the_setting_that_the_message_names(
    settings: Any,
) -> None:
    Customer.objects.create(name="Vimes")
    with connected(post_save, swallow, sender=Customer):
        Country.objects.all().delete()
        with pytest.raises(WrongDatabase) as caught:
            call_synchronize()
        advice = str(caught.value).partition("SYNCHRO_RECEIVERS = ")[2].partition("]")[0] + "]"
        settings.SYNCHRO_RECEIVERS = eval(advice)
        call_synchronize()

    assert_same_rows(Customer)
    assert not Country.objects.exists()


def test_members_of_a_set_are_guarded_like_rows() -> None:
    album = Album.objects.create(name="Blue")
    album.artists.add(Artist.objects.create(name="Joni"))
    receiver = only_on_remote(swallow)
    through, words = Album.artists.through, r"shop\.Album \d+: .*only_on_remote"
    with connected(m2m_changed, receiver, sender=through), pytest.raises(WrongDatabase, match=words):
        call_synchronize()
    assert not Country.objects.exists()

    call_synchronize()
    assert_same_rows()


def full_clean_first(self: Model, *args: Any, **kwargs: Any) -> None:
    self.full_clean()
    Model.save(self, *args, **kwargs)


def test_validation_against_local_is_named_with_the_table_that_was_read(
    monkeypatch: Any, settings: Any
) -> None:
    monkeypatch.setattr(Country, "save", full_clean_first)
    country = Country.objects.create(code="PL", name="Poland")

    words = (
        r"shop\.Country PL \(ValidationError.*test_receivers_setting\.full_clean_first.*SYNCHRO_RECEIVERS.*"
        rf"{Country._meta.db_table} from the database “default”"
    )
    with pytest.raises(Refused, match=words):
        call_synchronize()

    settings.SYNCHRO_RECEIVERS = ["all", f"-{HERE}.full_clean_first"]
    call_synchronize()
    assert_same_rows(Country)
    assert country.pk


def test_delete_that_forgets_its_database_is_refused_and_local_keeps_its_rows(
    monkeypatch: Any, settings: Any
) -> None:
    def forgetful(self: Customer, *args: Any, **kwargs: Any) -> Any:
        Seat.objects.filter(number=1).update(guest="lowered")
        return Model.delete(self)

    first, second = Customer.objects.create(name="Vimes"), Customer.objects.create(name="Colon")
    Seat.objects.create(number=1)
    call_synchronize()
    key = first.pk
    Model.delete(first)
    monkeypatch.setattr(Customer, "delete", forgetful)

    with pytest.raises(WrongDatabase, match=rf"shop\.Customer {key}: .*forgetful.*“default”"):
        call_synchronize()
    assert (Customer.objects.get(), Seat.objects.get().guest) == (second, None)

    settings.SYNCHRO_RECEIVERS = "none"
    call_synchronize()
    assert_same_rows()


def test_parent_that_a_callable_of_on_delete_would_make_on_local_is_not_made(monkeypatch: Any) -> None:
    customer = Customer.objects.create(name="Vimes")
    call_synchronize()
    with DisableSynchroLog():
        Ticket.objects.using(REMOTE).create(title="of REMOTE's own", customer=remote(Customer))

    def sentinel() -> Customer:
        return Customer.objects.create(name="nobody")

    monkeypatch.setattr(Ticket._meta.get_field("customer").remote_field, "on_delete", models.SET(sentinel))
    customer.delete()

    with pytest.raises(WrongDatabase, match="“default”"):
        call_synchronize()
    assert not Customer.objects.exists()


@pytest.mark.usefixtures("quarantine")
@pytest.mark.parametrize("atomic", [False, True])
def test_quarantine_keeps_just_the_objects_for_which_local_was_to_be_written(
    settings: Any, atomic: bool
) -> None:
    def write_for_some(instance: Any, using: str, **kwargs: Any) -> None:
        if using == REMOTE and instance.name == "cursed":
            swallow()

    good = [Customer.objects.create(name=f"no. {number}") for number in range(5)]
    bad = [Customer.objects.create(name="cursed") for _ in range(3)]
    with connected(post_save, write_for_some, sender=Customer):
        report = call_synchronize(atomic=atomic)
    assert report.aside == 3
    assert aside() == place(*bad)
    assert remote_count(Customer) == len(good)
    assert not Country.objects.exists()

    with connected(pre_delete, write_for_some, sender=Customer):
        call_synchronize(retry=True)
        kept = place(bad[0])
        bad[0].delete()
        good[0].delete()
        call_synchronize()
        assert aside() == kept
        assert not Country.objects.exists()
    call_synchronize(retry=True)
    assert_same_rows()
    assert aside() == set()


@pytest.mark.usefixtures("quarantine")
def test_quarantine_keeps_the_pairs_for_which_local_was_to_be_written() -> None:
    def write_for_some(action: str, using: str, pk_set: set[int], **kwargs: Any) -> None:
        if using == REMOTE and action == "post_add" and remote(Artist, name="cursed").pk in pk_set:
            swallow()

    album = Album.objects.create(name="Blue")
    for name in ("good", "cursed"):
        album.artists.add(Artist.objects.create(name=name))
    with connected(m2m_changed, write_for_some, sender=Album.artists.through):
        assert call_synchronize().aside == 1
    there: Any = remote(Album)
    assert [artist.name for artist in there.artists.all()] == ["good"]
    assert not Country.objects.exists()

    assert call_synchronize(retry=True).aside == 0
    assert_same_rows()


@pytest.mark.usefixtures("quarantine")
def test_error_of_any_kind_about_a_member_is_quarantined() -> None:
    def fail(using: str, **kwargs: Any) -> None:
        if using == REMOTE:
            raise KeyError

    album = Album.objects.create(name="Blue")
    album.artists.add(Artist.objects.create(name="Joni"))
    with connected(m2m_changed, fail, sender=Album.artists.through):
        assert call_synchronize().aside == 1

    call_synchronize(retry=True)
    assert_same_rows()


@pytest.mark.parametrize("signal", [post_save, m2m_changed, pre_delete])
def test_error_of_any_kind_names_the_receiver_and_the_object(signal: Signal) -> None:
    def fail(using: str, **kwargs: Any) -> None:
        if using == REMOTE:
            raise ValidationError("not today")

    album = Album.objects.create(name="Blue")
    album.artists.add(Artist.objects.create(name="Joni"))
    album.artists.add(Artist.objects.create(name="Leonard"))
    if signal is pre_delete:
        call_synchronize()
        album.delete()
    sender = Album.artists.through if signal is m2m_changed else Album
    words = r"shop\.Album \d+ \(ValidationError.*not today.*<locals>\.fail"
    with connected(signal, fail, sender=sender), pytest.raises(Refused, match=words):
        call_synchronize()

    call_synchronize()
    assert_same_rows()


@pytest.mark.django_db(databases=["default", "remote"], transaction=True)
def test_what_a_receiver_leaves_for_the_commit_cannot_write_to_local() -> None:
    def later(using: str, **kwargs: Any) -> None:
        if using == REMOTE:
            transaction.on_commit(write_to_default, using=using)

    Customer.objects.create(name="Vimes")
    with (
        connected(post_save, later, sender=Customer),
        pytest.raises(AfterCommit, match=r"write_to_default.*“default”"),
    ):
        call_synchronize()

    assert not Country.objects.exists()
    call_synchronize()
    assert_same_rows(Customer)
    assert remote_count(Customer) == 1


# -- routers ---------------------------------------------------------------------------------------------------


class WritesToDefault:
    """Django's own example of a router for replicas."""

    def db_for_read(self, model: type[Model], **hints: Any) -> str:
        return REMOTE

    def db_for_write(self, model: type[Model], **hints: Any) -> str:
        return LOCAL

    def allow_relation(self, *objects: Model, **hints: Any) -> bool:
        return True


def test_router_that_sends_writes_to_default_does_not_send_the_replayers(settings: Any) -> None:
    for name in ("Joni", "Leonard"):
        with DisableSynchroLog():
            Artist.objects.using(REMOTE).create(name=f"of REMOTE's own, before {name}")
    album = Album.objects.create(name="Blue")
    artists = [Artist.objects.create(name=name) for name in ("Joni", "Leonard")]
    album.artists.add(*artists)
    ticket = Ticket.objects.create(title="to the opera", customer=Customer.objects.create(name="Vimes"))
    Pizzeria.objects.create(name="Mario", seats=20, ovens=2)
    before = set(Album.artists.through.objects.using(LOCAL).values_list("album_id", "artist_id"))
    settings.DATABASE_ROUTERS = [f"{HERE}.WritesToDefault"]
    with connected(m2m_changed, count), connected(post_save, count), connected(post_delete, count):
        call_synchronize()
        settings.DATABASE_ROUTERS = []
        assert_same_rows(Album, Album.artists.through, Ticket, Customer, Pizzeria)
        assert set(Album.artists.through.objects.values_list("album_id", "artist_id")) == before
        album.artists.remove(artists[0])
        Model.delete(ticket)
        settings.DATABASE_ROUTERS = [f"{HERE}.WritesToDefault"]
        call_synchronize()
    settings.DATABASE_ROUTERS = []

    assert_same_rows(Album, Album.artists.through, Ticket, Customer, Pizzeria)
    assert (Artist.objects.count(), remote_count(Artist)) == (2, 4)
    there: Any = remote(Album)
    assert [artist.name for artist in there.artists.all()] == ["Leonard"]


def test_receiver_that_adds_members_on_remote_does_not_make_the_replayer_add_them_twice() -> None:
    def add_default(instance: Album, using: str, **kwargs: Any) -> None:
        if using == REMOTE:
            there: Any = Album.objects.using(using).get(pk=instance.pk)
            there.artists.add(*Artist.objects.using(using).all())

    Artist.objects.create(name="Joni")
    call_synchronize()
    album = Album.objects.create(name="Blue")
    album.artists.add(Artist.objects.get())
    with connected(post_save, add_default, sender=Album), connected(m2m_changed, count):
        call_synchronize()

    assert_same_rows()
