"""What points at something points at the same thing on REMOTE, under the keys that rows have there."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType

from synchro.core import DisableSynchroLog, call_synchronize, reset_synchro
from tests.replay.compare import assert_same_rows
from tests.replay.deployments import create_on_remote, remote, remote_count, use_up_key_on_remote
from tests.shop.models import (
    Attachment,
    Category,
    Comment,
    Country,
    Currency,
    Customer,
    Department,
    Employee,
    Order,
    Parcel,
    Passport,
    Pizzeria,
    Place,
    Price,
    Product,
    Profile,
    Restaurant,
    VipCustomer,
    Visa,
)
from tests.spicy.models import Note
from tests.unwatched.models import Region, Supplier

pytestmark = pytest.mark.django_db(databases=["default", "remote"])


@pytest.fixture(autouse=True)
def other_keys_on_remote(db: None) -> None:
    """So that a key of LOCAL that was not translated points at the wrong row or at none."""
    for number in range(3):
        create_on_remote(Customer, name=f"Other {number}")
    for model in (Category, Department, Employee, Place, Currency):
        extra = {"code": "XXX"} if model is Currency else {}
        use_up_key_on_remote(model, name="Other", **extra)
        use_up_key_on_remote(model, name="Other", **extra)


def test_reference_is_translated() -> None:
    customer = Customer.objects.create(name="Vimes")
    Order.objects.create(customer=customer)

    call_synchronize()

    assert remote(Order).customer == remote(Customer, name="Vimes")


def test_reference_that_is_changed_is_translated() -> None:
    first, second = Customer.objects.create(name="Vimes"), Customer.objects.create(name="Carrot")
    order = Order.objects.create(customer=first)
    call_synchronize()

    order.customer = second
    order.save()
    call_synchronize()

    assert remote(Order).customer.name == "Carrot"


def test_parent_that_is_watched_but_was_never_logged_is_created_first() -> None:
    customer = Customer.objects.create(name="Vimes", cash=7)
    reset_synchro()
    Order.objects.create(customer=customer)
    Order.objects.create(customer=customer)

    call_synchronize()

    assert remote_count(Order) == 2
    assert {found.customer.cash for found in Order.objects.using("remote")} == {7}
    assert remote(Customer, name="Vimes")._state.db == "remote"
    assert remote_count(Customer) == 4


def test_parent_with_a_given_key_that_was_never_logged_is_created_first() -> None:
    with DisableSynchroLog():
        country = Country.objects.create(code="PL", name="Poland")
        passport = Passport.objects.create(customer=Customer.objects.create(name="Vimes"), number="1")
    Visa.objects.create(passport=passport, country=country)

    call_synchronize()

    assert remote(Country).name == "Poland"
    assert remote(Visa).passport.customer.name == "Vimes"


def test_parents_that_are_not_watched_are_created_first() -> None:
    """With all that they point at themselves, and once."""
    supplier = Supplier.objects.create(name="Dibbler", region=Region.objects.create(name="Ankh"))
    product = Product.objects.create(name="sausage", supplier=supplier)
    call_synchronize()

    product.name = "sausage in a bun"
    product.save()
    Product.objects.create(name="pie", supplier=supplier)
    call_synchronize()

    assert remote(Supplier).region.name == "Ankh"
    assert {found.supplier.name for found in Product.objects.using("remote")} == {"Dibbler"}


def test_changes_of_a_parent_that_is_not_watched_are_not_synchronized() -> None:
    supplier = Supplier.objects.create(name="Dibbler")
    product = Product.objects.create(name="sausage", supplier=supplier)
    call_synchronize()

    supplier.name = "Cut-Me-Own-Throat"
    supplier.save()
    product.name = "pie"
    product.save()
    call_synchronize()

    assert remote(Supplier).name == "Dibbler"
    assert remote(Product).name == "pie"


def test_reference_to_a_column_other_than_the_key_arrives() -> None:
    price = Price.objects.create(currency=Currency.objects.create(code="PLN", name="zloty"), amount="1.50")
    call_synchronize()
    assert_same_rows(Currency, Price)

    price.currency = Currency.objects.create(code="EUR", name="euro")
    price.save()
    call_synchronize()

    assert remote(Price).currency.name == "euro"


def test_parent_named_by_a_column_other_than_its_key_is_created_first() -> None:
    with DisableSynchroLog():
        currency = Currency.objects.create(code="PLN", name="zloty")
    Price.objects.create(currency=currency, amount="1.50")

    call_synchronize()

    assert remote(Price).currency.name == "zloty"


def test_null_in_place_of_a_reference_arrives() -> None:
    parcel = Parcel.objects.create(receiver=Customer.objects.create(name="Vimes"))
    call_synchronize()
    before = remote(Parcel).receiver

    parcel.receiver = None
    parcel.save()
    call_synchronize()

    assert before is not None
    assert remote(Parcel).receiver is None


def test_reference_set_to_null_by_the_deletion_of_its_target_arrives() -> None:
    """Django does it by an UPDATE without a signal."""
    customer = Customer.objects.create(name="Vimes")
    Parcel.objects.create(receiver=customer)
    call_synchronize()

    customer.delete()
    call_synchronize()

    assert remote(Parcel).receiver is None
    assert not Customer.objects.using("remote").filter(name="Vimes").exists()


def test_rows_that_go_with_their_parent_go_on_remote_too() -> None:
    customer = Customer.objects.create(name="Vimes")
    Order.objects.create(customer=customer)
    Profile.objects.create(customer=customer)
    passport = Passport.objects.create(customer=customer, number="1")
    Visa.objects.create(passport=passport, country=Country.objects.create(code="PL"))
    call_synchronize()

    customer.delete()
    call_synchronize()

    assert [remote_count(model) for model in (Order, Profile, Passport, Visa)] == [0, 0, 0, 0]
    assert remote_count(Customer) == 3


def test_child_of_remotes_own_is_treated_as_django_would_when_its_parent_goes() -> None:
    """REMOTE has a row that points at what LOCAL deletes."""
    customer = Customer.objects.create(name="Vimes")
    call_synchronize()
    counterpart = remote(Customer, name="Vimes")
    create_on_remote(Order, customer=counterpart)
    parcel = create_on_remote(Parcel, receiver=counterpart)

    customer.delete()
    call_synchronize()

    assert remote_count(Order) == 0
    assert remote(Parcel, pk=parcel.pk).receiver is None


def test_cycle_of_references_arrives() -> None:
    department = Department.objects.create(name="Watch")
    department.head = Employee.objects.create(name="Vimes", department=department)
    department.save()

    call_synchronize()

    assert remote(Department).head == remote(Employee)
    assert remote(Employee).department == remote(Department)


def test_cycle_of_references_may_be_turned_around_and_deleted() -> None:
    watch, palace = Department.objects.create(name="Watch"), Department.objects.create(name="Palace")
    vimes = Employee.objects.create(name="Vimes", department=watch)
    drumknott = Employee.objects.create(name="Drumknott", department=palace)
    watch.head, palace.head = vimes, drumknott
    watch.save()
    palace.save()
    call_synchronize()

    watch.head, palace.head = drumknott, vimes
    watch.save()
    palace.save()
    call_synchronize()
    assert_same_rows(Department, Employee)

    watch.delete()
    Department.objects.all().delete()
    call_synchronize()
    assert (remote_count(Department), remote_count(Employee)) == (0, 0)


def test_tree_arrives_whatever_the_order_of_its_rows() -> None:
    with DisableSynchroLog():
        root = Category.objects.create(name="root")
    leaf = Category.objects.create(name="leaf")
    branch = Category.objects.create(name="branch", parent=root)
    leaf.parent = branch
    leaf.save()

    call_synchronize()

    assert remote(Category, name="leaf").parent.parent.name == "root"


def test_tree_may_be_turned_upside_down() -> None:
    root = Category.objects.create(name="root")
    branch = Category.objects.create(name="branch", parent=root)
    leaf = Category.objects.create(name="leaf", parent=branch)
    call_synchronize()

    root.parent, branch.parent, leaf.parent = branch, leaf, None
    for row in (root, branch, leaf):
        row.save()
    call_synchronize()

    assert_same_rows(Category)


def test_row_that_points_at_itself_arrives() -> None:
    ouroboros = Category.objects.create(name="snake")
    ouroboros.parent = ouroboros
    ouroboros.save()

    call_synchronize()

    assert remote(Category).parent == remote(Category)


def test_tree_is_deleted_leaves_first() -> None:
    root = Category.objects.create(name="root")
    for number in range(5):
        branch = Category.objects.create(name=f"branch {number}", parent=root)
        Category.objects.create(name="leaf", parent=branch)
    call_synchronize()

    root.delete()
    call_synchronize()

    assert remote_count(Category) == 0


def test_chain_of_a_hundred_parents_arrives() -> None:
    parent = None
    for number in range(100):
        parent = Category.objects.create(name=f"{number}", parent=parent)

    call_synchronize()

    assert_same_rows(Category)


def test_one_to_one_reference_arrives_and_may_be_passed_on() -> None:
    first, second = Customer.objects.create(name="Vimes"), Customer.objects.create(name="Carrot")
    profile = Profile.objects.create(customer=first)
    call_synchronize()
    assert remote(Profile).customer.name == "Vimes"

    profile.customer = second
    profile.save()
    Profile.objects.create(customer=first, text="new")
    call_synchronize()

    assert_same_rows(Profile)


def test_one_to_one_references_that_two_rows_swap_arrive() -> None:
    vimes, carrot, nobby = (Customer.objects.create(name=name) for name in ("Vimes", "Carrot", "Nobby"))
    first = Profile.objects.create(customer=vimes, text="first")
    second = Profile.objects.create(customer=carrot, text="second")
    call_synchronize()

    for profile, customer in ((first, nobby), (second, vimes), (first, carrot)):
        profile.customer = customer
        profile.save()
    call_synchronize()

    assert_same_rows(Profile)


def test_key_that_is_a_reference_is_translated() -> None:
    passport = Passport.objects.create(customer=Customer.objects.create(name="Vimes"), number="1")
    call_synchronize()
    assert remote(Passport).customer.name == "Vimes"

    passport.number = "2"
    passport.save()
    call_synchronize()

    assert remote(Passport).number == "2"


def test_row_of_several_tables_arrives_whole() -> None:
    Pizzeria.objects.create(name="Mario", seats=20, ovens=2, owner=Customer.objects.create(name="Vimes"))
    call_synchronize()

    found = remote(Pizzeria)
    assert (found.name, found.seats, found.ovens, found.owner.name) == ("Mario", 20, 2, "Vimes")
    assert (remote_count(Place), remote_count(Restaurant)) == (1, 1)
    assert_same_rows(Place, Restaurant, Pizzeria)


def test_each_table_of_a_row_of_several_can_change() -> None:
    pizzeria = Pizzeria.objects.create(name="Mario", seats=20, ovens=2)
    call_synchronize()

    pizzeria.name, pizzeria.seats, pizzeria.ovens = "Luigi", 21, 3
    pizzeria.save()
    call_synchronize()
    assert_same_rows(Place, Restaurant, Pizzeria)

    place = Place.objects.get()
    place.name = "Peach"
    place.save()
    restaurant = Restaurant.objects.get()
    restaurant.seats = 22
    restaurant.save(update_fields=["seats"])
    call_synchronize()

    found = remote(Pizzeria)
    assert (found.name, found.seats, found.ovens) == ("Peach", 22, 3)


def test_row_of_several_tables_goes_from_all_of_them() -> None:
    Place.objects.create(name="Park")
    pizzeria = Pizzeria.objects.create(name="Mario")
    call_synchronize()

    pizzeria.delete()
    call_synchronize()

    assert remote(Place).name == "Park"
    assert (remote_count(Restaurant), remote_count(Pizzeria)) == (0, 0)


def test_row_can_become_one_of_a_child_table_and_cease_to_be_one() -> None:
    place = Place.objects.create(name="Mario")
    call_synchronize()

    restaurant = Restaurant(place_ptr=place, seats=5)
    restaurant.__dict__.update(name=place.name)
    restaurant.save()
    call_synchronize()
    assert_same_rows(Place, Restaurant)

    restaurant.delete(keep_parents=True)
    call_synchronize()

    assert (remote_count(Place), remote_count(Restaurant)) == (1, 0)


def test_change_through_a_proxy_arrives() -> None:
    customer = VipCustomer.objects.create(name="Vimes")
    call_synchronize()
    assert remote(Customer, name="Vimes").cash == 0

    customer.cash = 100
    customer.save()
    call_synchronize()
    assert remote(Customer, name="Vimes").cash == 100

    customer.delete()
    call_synchronize()
    assert remote_count(Customer) == 3


def test_generic_reference_means_the_same_row_under_another_key() -> None:
    customer = Customer.objects.create(name="Vimes")
    Comment.objects.create(target=customer, text="about Vimes")

    call_synchronize()

    target = Customer.objects.using("remote").get(pk=remote(Comment).object_id)
    assert target.name == "Vimes"
    assert_same_rows(Comment)


def test_generic_reference_means_the_same_model_under_another_content_type_id() -> None:
    _shift_content_types()
    customer = Customer.objects.create(name="Vimes")
    Comment.objects.create(target=customer)
    Attachment.objects.create(target=Country.objects.create(code="PL"))

    call_synchronize()

    known = ContentType.objects.db_manager("remote")
    assert known.get(pk=remote(Comment).content_type_id).model == "customer"
    assert known.get(pk=remote(Attachment).kind_id).model == "country"
    assert_same_rows(Comment, Attachment)


def test_content_types_are_known_by_their_names_where_all_other_keys_are_the_same(settings: Any) -> None:
    settings.SYNCHRO_IDENTITY = "pk"
    _shift_content_types()
    Comment.objects.create(target=Customer.objects.create(name="Vimes"))
    Note.objects.create(target=Country.objects.create(code="PL"))

    call_synchronize()

    known = ContentType.objects.db_manager("remote")
    assert known.get(pk=remote(Comment).content_type_id).model == "customer"
    assert known.get(pk=remote(Note).target_type_id).model == "country"


def test_generic_reference_with_its_key_as_text_is_translated() -> None:
    customer, parcel = Customer.objects.create(name="Vimes"), Parcel.objects.create()
    for target in (customer, parcel, Country.objects.create(code="PL")):
        Attachment.objects.create(target=target)
    Attachment.objects.create(target=None)

    call_synchronize()

    keys = set(Attachment.objects.using("remote").values_list("key", flat=True))
    assert {str(remote(Customer, name="Vimes").pk), "PL", None} < keys
    assert_same_rows(Attachment)


def test_target_of_a_generic_reference_that_was_never_logged_is_created_first() -> None:
    with DisableSynchroLog():
        customer = Customer.objects.create(name="Vimes")
    Comment.objects.create(target=customer)
    Comment.objects.create(target=Supplier.objects.create(name="Dibbler"))

    call_synchronize()

    assert_same_rows(Comment)
    assert remote(Supplier).name == "Dibbler"


def test_generic_reference_can_be_moved_to_another_model() -> None:
    comment = Comment.objects.create(target=Customer.objects.create(name="Vimes"))
    call_synchronize()

    comment.target = Category.objects.create(name="guards")
    comment.save()
    call_synchronize()

    assert_same_rows(Comment)


def test_generic_reference_that_points_nowhere_is_no_obstacle() -> None:
    comment = Comment.objects.create(target=Customer.objects.create(name="Vimes"), text="orphan")
    comment.target.delete()
    Customer.objects.create(name="Carrot")

    call_synchronize()

    assert remote(Comment).text == "orphan"
    assert Customer.objects.using("remote").filter(name="Carrot").exists()


def test_routers_that_forbid_relations_between_databases_are_no_obstacle(settings: object) -> None:
    settings.DATABASE_ROUTERS = ["tests.replay.relations.test_relations.StrictRouter"]  # type: ignore[attr-defined]
    customer = Customer.objects.create(name="Vimes")
    Order.objects.create(customer=customer)
    Comment.objects.create(target=customer)

    call_synchronize()
    customer.delete()
    call_synchronize()

    assert remote_count(Order) == 0


class StrictRouter:
    """Everything is read and written at home, and nothing may point across."""

    def db_for_read(self, model: object, **hints: object) -> str:
        return "default"

    def db_for_write(self, model: object, **hints: object) -> str:
        return "default"

    def allow_relation(self, one: object, other: object, **hints: object) -> bool:
        return one._state.db == other._state.db  # type: ignore[attr-defined]


def _shift_content_types() -> None:
    """REMOTE numbers its content types otherwise than LOCAL does."""
    known = ContentType.objects.using("remote")
    for found in known.filter(app_label="shop"):
        name, found_key = found.model, found.pk
        known.filter(pk=found_key).delete()
        known.create(app_label="shop", model=name)
    ContentType.objects.clear_cache()
