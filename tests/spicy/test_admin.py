"""The admin over models with spicy keys: it works, and never answers 500."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.admin.utils import quote
from django.contrib.auth import get_user_model
from django.contrib.contenttypes.models import ContentType
from django.test import Client
from django.urls import reverse

from tests.spicy.models import Device, Invoice, Place, Restaurant, Tag, User

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("chosen_keys")]

GARBAGE = [
    "garbage",
    "usr_5 ",
    "usr_05",
    "5",
    "-1",
    "usr_\u0665",
    "usr_zzzzzzzzzzzz",
    "acct_5",
    "x" * 300,
    "<'\">",
    "%00",
]


@pytest.fixture
def client(db: None) -> Client:
    staff = get_user_model().objects.create_superuser("root", "root@example.com", "secret")
    client = Client(raise_request_exception=False)
    client.force_login(staff)
    return client


def page(model: type, name: str, *ids: str) -> str:
    return reverse(f"admin:spicy_{model.__name__.lower()}_{name}", args=[quote(one) for one in ids])


def management(formset: str, initial: int = 0, total: int | None = None) -> dict[str, Any]:
    return {
        f"{formset}-TOTAL_FORMS": initial if total is None else total,
        f"{formset}-INITIAL_FORMS": initial,
    }


def test_a_row_is_added_listed_changed_and_deleted(client: Client) -> None:
    client.post(page(User, "add"), {"name": "Ada", **management("invoices")})
    user = User.objects.get(name="Ada")
    listing = client.get(page(User, "changelist")).content.decode()
    assert user.id in listing
    assert page(User, "change", user.id) in listing
    assert client.get(page(User, "change", user.id)).status_code == 200
    answer = client.post(page(User, "change", user.id), {"name": "Grace", **management("invoices")})
    assert answer.status_code == 302
    user.refresh_from_db()
    assert user.name == "Grace"
    assert client.get(page(User, "history", user.id)).status_code == 200
    assert page(User, "change", user.id) in client.get(page(User, "delete", user.id)).content.decode()
    client.post(page(User, "delete", user.id), {"post": "yes"})
    assert not User.objects.exists()
    logged = LogEntry.objects.values_list("object_id", flat=True)
    assert list(logged) == [user.id] * 3


def test_the_log_leads_to_the_row(client: Client, ada: User) -> None:
    client.post(page(User, "change", ada.id), {"name": "Ada L.", **management("invoices")})
    entry = LogEntry.objects.get()
    assert entry.get_edited_object() == ada
    assert page(User, "change", ada.id) in client.get(reverse("admin:index")).content.decode()
    assert client.get(entry.get_admin_url()).status_code == 200


@pytest.mark.parametrize("text", GARBAGE)
@pytest.mark.parametrize("name", ["change", "delete", "history"])
def test_the_page_of_a_garbage_id_says_that_there_is_no_such_row(
    client: Client, ada: User, name: str, text: str
) -> None:
    answer = client.get(page(User, name, text))
    assert (answer.status_code, answer.headers["Location"]) == (302, reverse("admin:index"))
    answer = client.post(page(User, name, text), {"name": "x", "post": "yes", **management("invoices")})
    assert answer.status_code == 302
    assert list(User.objects.values_list("name", flat=True)) == ["Ada"]


@pytest.mark.parametrize("text", GARBAGE)
def test_the_site_link_of_a_garbage_id_is_not_found(client: Client, text: str) -> None:
    content_type = ContentType.objects.get_for_model(User)
    assert client.get(reverse("admin:view_on_site", args=[content_type.pk, text])).status_code == 404


@pytest.mark.parametrize(
    ("model", "text", "found"),
    [
        (User, "usr_8M0kX", True),
        (User, "Ada", True),
        (User, "inv-07000005", True),
        (User, "usr_8M0k", False),
        (User, "123456789", False),
        (Invoice, "inv-07000005", True),
        (Invoice, "usr_8M0kX", True),
        (Invoice, "inv-07000006", False),
        (Invoice, "117440517", False),
    ],
)
def test_search_finds_by_id(client: Client, invoice: Invoice, model: type, text: str, found: bool) -> None:
    answer = client.get(page(model, "changelist"), {"q": text})
    assert answer.status_code == 200
    assert answer.context["cl"].result_count == int(found)


@pytest.mark.parametrize("text", GARBAGE)
@pytest.mark.parametrize("model", [User, Invoice])
def test_search_for_garbage_finds_nothing(client: Client, invoice: Invoice, model: type, text: str) -> None:
    answer = client.get(page(model, "changelist"), {"q": text})
    assert answer.status_code == 200
    assert answer.context["cl"].result_count == 0


def autocomplete(client: Client, **query: str) -> Any:
    return client.get(
        reverse("admin:autocomplete"),
        {"app_label": "spicy", "model_name": "invoice", "field_name": "customer", **query},
    )


def test_autocomplete_offers_ids(client: Client, ada: User) -> None:
    for term in ("Ada", "usr_8M0kX"):
        assert autocomplete(client, term=term).json()["results"] == [{"id": "usr_8M0kX", "text": "Ada"}]


@pytest.mark.parametrize("text", GARBAGE)
def test_autocomplete_for_garbage_offers_nothing(client: Client, ada: User, text: str) -> None:
    assert autocomplete(client, term=text).json()["results"] == []


@pytest.mark.parametrize("text", ["", *GARBAGE])
@pytest.mark.parametrize(
    "name",
    [
        *("id__exact", "id", "id__gt", "id__in", "id__range"),
        *("customer__id__exact", "customer__id__in", "customer__exact"),
    ],
)
def test_a_filter_with_garbage_is_not_an_error_of_the_server(
    client: Client, invoice: Invoice, name: str, text: str
) -> None:
    User.objects.create(name="Grace")  # a filter that has only one choice is not applied
    assert client.get(page(Invoice, "changelist"), {name: text}).status_code in (302, 400)


def test_filters_take_ids(client: Client, invoice: Invoice) -> None:
    User.objects.create(name="Grace")  # a filter that has only one choice is not shown
    for name, text in [
        ("id__exact", invoice.id),
        ("customer__id__exact", "usr_8M0kX"),
        ("id__in", invoice.id),
    ]:
        answer = client.get(page(Invoice, "changelist"), {name: text})
        assert [row.id for row in answer.context["cl"].result_list] == [invoice.id]
    listing = client.get(page(Invoice, "changelist")).content.decode()
    assert "customer__id__exact=usr_8M0kX" in listing


def test_actions_apply_to_the_selected_rows(client: Client, invoice: Invoice) -> None:
    other = Invoice.objects.create(customer_id=123456789)
    chosen = {"action": "delete_selected", "_selected_action": [invoice.id]}
    assert invoice.id in client.post(page(Invoice, "changelist"), chosen).content.decode()
    client.post(page(Invoice, "changelist"), {**chosen, "post": "yes"})
    assert Invoice.objects.get() == other


@pytest.mark.parametrize("text", GARBAGE)
def test_actions_on_garbage_change_nothing(client: Client, invoice: Invoice, text: str) -> None:
    data = {"action": "delete_selected", "_selected_action": [text], "post": "yes", "index": "0"}
    assert client.post(page(Invoice, "changelist"), data).status_code < 500
    assert Invoice.objects.exists()


def test_a_list_is_edited(client: Client, invoice: Invoice) -> None:
    data = {"form-0-id": invoice.id, "form-0-total": "7", "_save": "Save", **management("form", 1)}
    assert client.post(page(Invoice, "changelist"), data).status_code == 302
    invoice.refresh_from_db()
    assert invoice.total == 7


@pytest.mark.parametrize("text", GARBAGE)
def test_a_list_edited_with_garbage_is_shown_again(client: Client, invoice: Invoice, text: str) -> None:
    data = {"form-0-id": text, "form-0-total": "7", "_save": "Save", **management("form", 1)}
    assert client.post(page(Invoice, "changelist"), data).status_code < 500
    invoice.refresh_from_db()
    assert invoice.total == 3


def test_a_popup_hands_back_ids(client: Client, ada: User) -> None:
    answer = client.post(page(User, "add"), {"name": "Grace", "_popup": "1", **management("invoices")})
    grace = User.objects.get(name="Grace")
    assert answer.context["popup_response_data"].count(grace.id) == 1
    answer = client.post(
        page(User, "change", ada.id),
        {"name": "Ada L.", "_popup": "1", "_to_field": "id", **management("invoices")},
    )
    assert "usr_8M0kX" in answer.context["popup_response_data"]
    answer = client.post(page(User, "delete", ada.id), {"post": "yes", "_popup": "1", "_to_field": "id"})
    assert "usr_8M0kX" in answer.context["popup_response_data"]


@pytest.mark.parametrize("text", GARBAGE)
@pytest.mark.parametrize("name", ["change", "delete"])
def test_a_popup_for_garbage_redirects(client: Client, text: str, name: str) -> None:
    assert client.get(page(User, name, text), {"_popup": "1", "_to_field": "id"}).status_code == 302


def invoice_form(**values: str) -> dict[str, str]:
    return {"customer": "usr_8M0kX", "payer": "", "total": "1", **values}


def test_references_are_chosen_by_id(client: Client, ada: User) -> None:
    answer = client.post(page(Invoice, "add"), invoice_form(payer="usr_8M0kX"))
    assert answer.status_code == 302
    invoice = Invoice.objects.get()
    assert (invoice.customer, invoice.payer) == (ada, ada)
    form = client.get(page(Invoice, "change", invoice.id)).content.decode()
    assert '<option value="usr_8M0kX" selected>Ada</option>' in form
    assert 'value="usr_8M0kX"' in form


@pytest.mark.parametrize("text", GARBAGE)
@pytest.mark.parametrize("name", ["customer", "payer"])
def test_a_garbage_reference_is_an_error_of_the_form(client: Client, ada: User, name: str, text: str) -> None:
    answer = client.post(page(Invoice, "add"), invoice_form(**{name: text}))
    assert answer.status_code < 500
    assert not Invoice.objects.exists()


@pytest.mark.parametrize("text", GARBAGE)
@pytest.mark.parametrize("name", ["customer", "payer", "total"])
def test_an_initial_value_of_garbage_is_not_an_error_of_the_server(
    client: Client, name: str, text: str
) -> None:
    assert client.get(page(Invoice, "add"), {name: text}).status_code < 500
    assert client.get(page(Tag, "add"), {"invoices": text}).status_code < 500


def test_many_to_many_is_chosen_by_id(client: Client, invoice: Invoice) -> None:
    client.post(page(Tag, "add"), {"label": "red", "invoices": [invoice.id]})
    assert list(Tag.objects.get().invoices.all()) == [invoice]
    for text in GARBAGE:
        answer = client.post(page(Tag, "add"), {"label": "blue", "invoices": [text]})
        assert answer.status_code < 500
    assert Tag.objects.count() == 1


def test_inlines_are_edited(client: Client, invoice: Invoice) -> None:
    data = {
        "name": "Ada",
        "invoices-0-id": invoice.id,
        "invoices-0-customer": "usr_8M0kX",
        "invoices-0-total": "8",
        "invoices-1-customer": "usr_8M0kX",
        "invoices-1-total": "9",
        **management("invoices", initial=1, total=2),
    }
    assert client.post(page(User, "change", "usr_8M0kX"), data).status_code == 302
    assert sorted(Invoice.objects.values_list("total", flat=True)) == [8, 9]


@pytest.mark.parametrize("text", GARBAGE)
def test_inlines_with_garbage_are_not_an_error_of_the_server(
    client: Client, invoice: Invoice, text: str
) -> None:
    for name in ("id", "customer", "payer"):
        data = {
            "name": "Ada",
            "invoices-0-id": invoice.id,
            "invoices-0-customer": "usr_8M0kX",
            "invoices-0-total": "8",
            f"invoices-0-{name}": text,
            **management("invoices", initial=1),
        }
        assert client.post(page(User, "change", "usr_8M0kX"), data).status_code < 500
    invoice.refresh_from_db()
    assert invoice.total == 3


def test_a_row_with_a_random_key_is_added_and_saved_as_new(client: Client) -> None:
    client.post(page(Device, "add"), {"serial": "A1"})
    device = Device.objects.get()
    client.post(page(Device, "change", device.id), {"serial": "A2", "_saveasnew": "1"})
    assert {row.serial for row in Device.objects.all()} == {"A1", "A2"}


def test_an_inherited_model_with_inlines(client: Client) -> None:
    data = {"name": "Bistro", "stars": "2", "menu_set-0-title": "Lunch", **management("menu_set", total=1)}
    client.post(page(Restaurant, "add"), data)
    bistro = Restaurant.objects.get()
    assert bistro.menu_set.get().title == "Lunch"
    assert client.get(page(Restaurant, "change", bistro.pk)).status_code == 200
    assert client.get(page(Place, "change", bistro.pk)).status_code == 200
    assert client.get(page(Restaurant, "change", "garbage")).status_code == 302
