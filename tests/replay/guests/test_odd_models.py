"""Models as they should not be, and are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connections
from django.db.models import Model
from django.db.models.signals import post_delete, post_save
from django.test.utils import override_settings

from synchro.core import DisableSynchroLog, call_synchronize
from synchro.exceptions import Refused
from tests.odd.models import (
    Amount,
    AmphibiousCar,
    Article,
    Badge,
    Boat,
    Box,
    Car,
    Draft,
    Drawer,
    Guarantee,
    Key,
    Loan,
    Scan,
    Sticker,
    Supply,
    Trace,
    Unit,
)
from tests.replay.compare import assert_same_rows
from tests.replay.deployments import REMOTE, create_on_remote, remote, remote_count
from tests.shop.models import Comment, Customer, VipCustomer

pytestmark = pytest.mark.django_db(databases=["default", "remote"])


# -- unique values and what points at them ------------------------------------------------------------------


def test_what_depends_on_a_row_that_gave_way_is_treated_as_django_would() -> None:
    """The row has to go before its deletion is due, since another takes its unique value."""
    badge = Badge.objects.create(code="007")
    Badge.objects.create(code="008")
    call_synchronize()
    own = remote(Badge, code="007")
    create_on_remote(Scan, badge=own)
    create_on_remote(Loan, badge=own)

    badge.delete()
    Badge.objects.create(code="007", holder="Nobby")
    call_synchronize()

    assert_same_rows(Badge)
    assert remote_count(Scan) == 0
    assert remote(Loan).badge_id is None


def test_row_that_moved_to_another_parent_is_not_deleted_with_its_first() -> None:
    badge = Badge.objects.create(code="007")
    scan = Scan.objects.create(badge=badge)
    call_synchronize()

    scan.badge = other = Badge.objects.create(code="008")
    scan.save()
    badge.delete()
    other.code = "007"
    other.save()
    call_synchronize()

    assert remote_count(Scan) == 1
    assert_same_rows()


def test_values_that_are_unique_under_a_condition_or_in_lower_case_can_be_swapped() -> None:
    first = Key.objects.create(label="door", name="a")
    second = Key.objects.create(label="door", is_active=False, name="b")
    call_synchronize()

    first.is_active, first.name = False, "c"
    first.save()
    second.is_active, second.name = True, "A"
    second.save()
    first.name = "B"
    first.save()
    call_synchronize()

    assert_same_rows()


def test_value_that_a_row_of_remotes_own_points_at_is_not_taken_from_under_it() -> None:
    unit = Unit.objects.create(code="kg")
    call_synchronize()
    own = create_on_remote(Amount, unit=remote(Unit))

    unit.code = "t"
    unit.save()
    with pytest.raises(Refused, match=rf"odd\.Amount {own.pk} .*\bunit\b.*odd\.Unit"):
        call_synchronize()

    assert remote(Unit).code == "kg"


def test_row_that_remotes_own_needs_and_nobody_takes_care_of_is_named() -> None:
    customer = Customer.objects.create(name="Vimes")
    call_synchronize()
    own = create_on_remote(Guarantee, customer=remote(Customer))

    customer.delete()
    with pytest.raises(Refused, match=rf"odd\.Guarantee {own.pk} .*customer.*shop\.Customer"):
        call_synchronize()

    assert remote_count(Customer) == 1


def test_key_that_is_spelt_otherwise_replaces_the_old_one() -> None:
    """REMOTE may take both for the same: the deletion of the old must not take the new one along."""
    if connections["default"].vendor == "mysql":
        pytest.skip("LOCAL takes both for the same")
    for old, new in (("abc", "ABC"), ("ABC", "ABC "), ("ABC ", "Äbc")):
        article, _ = Article.objects.get_or_create(code=old)
        Supply.objects.create(article=article)
        call_synchronize()

        article.delete()
        Supply.objects.create(article=Article.objects.create(code=new), count=3)
        call_synchronize()

        assert_same_rows(Article, Supply)


def test_keys_that_remote_takes_for_the_same_are_refused() -> None:
    if connections["default"].vendor == "mysql" or connections[REMOTE].vendor != "mysql":
        pytest.skip("both sides have the same collation")
    Article.objects.create(code="abc", name="small")
    call_synchronize()
    Article.objects.create(code="ABC", name="capital")

    with pytest.raises(Refused, match=r"odd\.Article ABC, column code"):
        call_synchronize()

    assert remote(Article).name == "small"


# -- relations ----------------------------------------------------------------------------------------------


def test_tree_that_protects_its_branches_can_be_deleted_leaves_first() -> None:
    trunk = Box.objects.create(name="trunk")
    branch = Box.objects.create(name="branch", outer=trunk)
    leaf = Box.objects.create(name="leaf", outer=branch)
    call_synchronize()

    for box in (leaf, branch, trunk):
        box.delete()
    call_synchronize()

    assert remote_count(Box) == 0


def test_reference_to_a_row_that_is_gone_stays_as_remote_has_it() -> None:
    create_on_remote(Customer, name="of REMOTE's own")
    customer = Customer.objects.create(name="Vimes")
    trace, comment = Trace.objects.create(customer=customer), Comment.objects.create(target=customer)
    call_synchronize()
    before = remote(Trace).customer_id, remote(Comment).object_id

    customer.delete()
    call_synchronize()
    for row in (Trace.objects.get(pk=trace.pk), Comment.objects.get(pk=comment.pk)):
        row.text = "changed"
        row.save()
    call_synchronize()

    assert (remote(Trace).customer_id, remote(Comment).object_id) == before
    assert (remote(Trace).text, remote(Comment).text) == ("changed", "changed")


def test_reference_to_nowhere_does_not_become_one_to_another_object() -> None:
    own = create_on_remote(Customer, name="of REMOTE's own")
    Trace.objects.create(customer_id=own.pk)

    with pytest.raises(Refused, match=r"odd\.Trace \d+, column customer.*shop\.Customer"):
        call_synchronize()


def test_generic_reference_to_nowhere_does_not_become_one_to_another_object() -> None:
    own = create_on_remote(Customer, name="of REMOTE's own")
    with DisableSynchroLog():
        customer = Customer.objects.create(pk=own.pk, name="Vimes")
    comment = Comment.objects.create(target=customer)
    with DisableSynchroLog():
        customer.delete()

    report = call_synchronize()

    assert remote(Comment).target is None
    assert_same_rows(Comment)
    assert any(f"shop.Comment {comment.pk}" in warning for warning in report.warnings)


def test_reference_to_nowhere_arrives_where_it_is_one_on_both_sides() -> None:
    Trace.objects.create(customer_id=12345)

    call_synchronize()

    assert remote(Trace).customer_id == 12345


def test_row_with_two_parents_arrives_in_all_tables() -> None:
    create_on_remote(Boat)
    create_on_remote(Boat)
    car = AmphibiousCar.objects.create(name="Amphicar", wheels=3, sails=1)
    call_synchronize()
    assert (remote(AmphibiousCar).wheels, remote(AmphibiousCar).sails) == (3, 1)

    car.wheels, car.sails = 5, 2
    car.save()
    call_synchronize()
    assert (remote(AmphibiousCar).wheels, remote(AmphibiousCar).sails) == (5, 2)

    car.sails = 7
    car.save(update_fields=["sails"])
    call_synchronize()
    assert remote(AmphibiousCar).sails == 7

    car.delete()
    call_synchronize()
    assert (remote_count(AmphibiousCar), remote_count(Car), remote_count(Boat)) == (0, 0, 2)


@pytest.mark.parametrize("is_logged", [True, False])
def test_generic_reference_to_a_proxy_means_the_same_row(is_logged: bool) -> None:
    create_on_remote(Customer, name="of REMOTE's own")
    if is_logged:
        customer = VipCustomer.objects.create(name="Vimes")
    else:
        with DisableSynchroLog():
            customer = VipCustomer.objects.create(name="Vimes")
    Sticker.objects.create(target=customer)
    call_synchronize()

    customer.name = "Sir Samuel"
    customer.save()
    call_synchronize()

    assert remote_count(Customer) == 2
    assert remote(Sticker).target.name == "Sir Samuel"
    assert type(remote(Sticker).target) is VipCustomer


# -- behaviour ----------------------------------------------------------------------------------------------


@contextmanager
def listening(model: type[Model]) -> Iterator[None]:
    def hear(**kwargs: Any) -> None:
        pass

    for signal in (post_save, post_delete):
        signal.connect(hear, sender=model)
    try:
        with override_settings(SYNCHRO_RECEIVERS="all"):
            yield
    finally:
        for signal in (post_save, post_delete):
            signal.disconnect(hear, sender=model)


@pytest.mark.parametrize("somebody_listens", [False, True])
def test_rows_that_even_the_base_manager_hides_are_added_and_deleted(somebody_listens: bool) -> None:
    create_on_remote(Drawer, name="of REMOTE's own")
    drawer = Drawer.everything.create(name="secret", hidden=True)
    with listening(Drawer if somebody_listens else Badge):
        call_synchronize()
        assert Drawer.everything.using(REMOTE).count() == 2

        Drawer.everything.filter(pk=drawer.pk).delete()
        call_synchronize()

    assert Drawer.everything.using(REMOTE).get().name == "of REMOTE's own"


@pytest.mark.usefixtures("all_receivers")
def test_row_that_its_own_method_would_not_save_arrives() -> None:
    draft = Draft(text="empty")
    Model.save(draft)
    call_synchronize()
    assert_same_rows(Draft)

    draft.note = "changed"
    Model.save(draft)
    call_synchronize()
    assert_same_rows(Draft)


@pytest.mark.usefixtures("all_receivers")
def test_row_that_its_own_method_would_not_delete_goes() -> None:
    draft = Draft.objects.create(text="full")
    call_synchronize()

    Model.delete(draft)
    call_synchronize()

    assert remote_count(Draft) == 0
