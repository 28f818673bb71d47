"""Is my change over there? What the log and the page of each object say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import clear_url_caches, include, path

from synchro.admin import add_synchronization
from synchro.arrivals import Arrivals, batch_of
from synchro.core import call_synchronize
from synchro.models import ChangeLog, Node
from tests.replay.refusals import refusing
from tests.shop.models import Album, Artist, Customer, Seat

pytestmark = pytest.mark.django_db(databases=["default", "remote"])

LIST = "/admin/synchro/changelog/"


@pytest.fixture
def client() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    return client


def states(client: Client, query: str = "") -> list[str]:
    """What the list says of each entry, oldest first."""
    entries = client.get(f"{LIST}?{query}").context["cl"].result_list
    model_admin = admin.site.get_model_admin(ChangeLog)
    return [str(model_admin.state(entry)).split(">")[1].split("<")[0] for entry in entries][::-1]


def test_each_entry_says_where_it_is(client: Client, settings: Any) -> None:
    settings.SYNCHRO_ON_ERROR = "quarantine"
    Customer.objects.create(name="Vimes")
    Customer.objects.create(name="cursed")
    with refusing(Customer):
        call_synchronize()
    Customer.objects.create(name="Nobby")
    assert states(client) == ["arrived", "in quarantine", "pending"]
    assert states(client, "state=pending:remote") == ["pending"]
    assert states(client, "state=arrived:remote") == ["arrived", "in quarantine"]
    assert len(states(client, "state=nonsense")) == 3
    page = client.get(f"{LIST}{ChangeLog.objects.earliest('id').pk}/change/").content.decode()
    assert "arrived at remote by" in page


def test_an_entry_in_a_batch_that_has_not_arrived_and_one_that_came_late_are_pending(client: Client) -> None:
    for name in "abc":
        Customer.objects.create(name=name)
    first, second, _third = ChangeLog.objects.order_by("id").values_list("id", flat=True)
    Node.objects.update_or_create(pk=1, defaults={"highest": _third, "holes": f"[[{second}, {second}, []]]"})
    from synchro.models import Batch

    Batch.objects.create(number=7, ranges=f"{first}", size=1)
    assert states(client) == ["pending in batch 7", "pending", "arrived"]
    assert states(client, "state=pending:remote") == ["pending in batch 7", "pending"]
    assert states(client, "state=arrived:remote") == ["arrived"]


def test_the_batch_of_an_entry_is_found_among_many(settings: Any) -> None:
    settings.SYNCHRO_BATCH_SIZE = 2
    for name in "abcdefghijk":
        Customer.objects.create(name=name)
    call_synchronize()
    for entry in ChangeLog.objects.all():
        batch = batch_of(entry.pk)
        assert batch is not None
        assert f"{entry.pk}" in batch.ranges.replace("-", ",").split(",")
    assert batch_of(10**9) is None
    assert all(one.has_arrived for entry in ChangeLog.objects.all() for one in Arrivals().of(entry))


def test_an_entry_leads_to_its_object_and_names_members(client: Client, shop_admin: None) -> None:
    customer, seat = Customer.objects.create(name="Vimes"), Seat.objects.create(number=1)
    album, artist = Album.objects.create(name="Music"), Artist.objects.create(name="Imp")
    album.artists.add(artist)
    page = client.get(LIST).content.decode()
    assert f'<a href="/admin/shop/customer/{customer.pk}/change/">{customer.pk}</a>' in page
    assert f"/admin/shop/seat/{seat.pk}/" not in page  # the admin has no page for it
    entry = ChangeLog.objects.latest("id")
    detail = client.get(f"{LIST}{entry.pk}/change/").content.decode()
    assert f'<div class="readonly">{artist.pk}</div>' in detail


# -- the page of an object -------------------------------------------------------------------------------------------


class Urls:
    urlpatterns: list[Any] = []
    #: The admin's, before its objects have the page.
    without_page: list[Any] = []


@pytest.fixture
def shop_admin(settings: Any) -> Iterator[None]:
    """Two models of the shop in the admin, which knows nothing of synchro until it is told."""

    class Own(admin.ModelAdmin):  # type: ignore[type-arg]
        change_form_template = "admin/change_form.html"

    admin.site.register(Customer)
    admin.site.register(Album, Own)
    before = {model_admin: type(model_admin) for model_admin in admin.site._registry.values()}
    Urls.without_page = admin.site.get_urls()
    add_synchronization(admin.site)
    Urls.urlpatterns = [path("admin/", admin.site.urls), path("synchro/", include("synchro.urls"))]
    settings.ROOT_URLCONF = Urls
    clear_url_caches()
    try:
        yield
    finally:
        for model_admin, kind in before.items():
            model_admin.__class__ = kind
        admin.site.unregister([Customer, Album])
        clear_url_caches()


def test_where_the_urls_were_made_before_there_is_no_link(client: Client, shop_admin: None) -> None:
    customer = Customer.objects.create(name="Vimes")
    Urls.urlpatterns[0] = path("admin/", (Urls.without_page, "admin", "admin"))
    clear_url_caches()
    page = client.get(f"/admin/shop/customer/{customer.pk}/change/")
    assert page.status_code == 200
    assert "/synchronization/" not in page.content.decode()


def test_each_object_says_whether_remote_has_it_and_under_which_key(client: Client, shop_admin: None) -> None:
    Customer.objects.using("remote").create(name="somebody else, so that keys differ")
    customer = Customer.objects.create(name="Vimes")
    url = f"/admin/shop/customer/{customer.pk}/synchronization/"
    assert f'href="{url}"' in client.get(f"/admin/shop/customer/{customer.pk}/change/").content.decode()
    assert "does not have the newest change yet" in client.get(url).content.decode()
    call_synchronize()
    page = client.get(url).content.decode()
    assert "has the newest change" in page
    there = next(found for found in Customer.objects.using("remote").all() if found.name == "Vimes")
    assert there.pk != customer.pk
    assert f"<code>{there.pk}</code>" in page
    assert "Both rows are equal at this moment." in client.post(url).content.decode()
    Customer.objects.using("remote").filter(pk=there.pk).update(cash=9)
    assert "The rows differ at this moment, in: cash." in client.post(url).content.decode()
    Customer.objects.using("remote").filter(pk=there.pk).delete()
    assert "REMOTE does not have the row at this moment." in client.post(url).content.decode()


def test_what_remote_refuses_is_told_on_the_page_of_the_object(
    client: Client, shop_admin: None, settings: Any
) -> None:
    settings.SYNCHRO_ON_ERROR = "quarantine"
    customer = Customer.objects.create(name="cursed")
    with refusing(Customer):
        call_synchronize()
    page = client.get(f"/admin/shop/customer/{customer.pk}/synchronization/").content.decode()
    assert "refuses it" in page
    assert "Refusal" in page


def test_the_page_of_an_object_is_for_whoever_may_see_it_and_synchronization(shop_admin: None) -> None:
    customer = Customer.objects.create(name="Vimes")
    url = f"/admin/shop/customer/{customer.pk}/synchronization/"
    user = User.objects.create_user("ann", is_staff=True)
    client = Client()
    client.force_login(user)
    for codename, status in (("view_customer", 403), ("view_changelog", 200)):
        user.user_permissions.add(Permission.objects.get(codename=codename))
        assert client.get(url).status_code == status
    user.user_permissions.remove(Permission.objects.get(codename="view_customer"))
    assert client.get(url).status_code == 403
    assert client.get("/admin/shop/customer/0/synchronization/").status_code == 404


def test_an_admin_with_a_template_of_its_own_keeps_it_and_has_the_page(
    client: Client, shop_admin: None
) -> None:
    album = Album.objects.create(name="Music")
    change = client.get(f"/admin/shop/album/{album.pk}/change/")
    assert "admin/change_form.html" in [template.name for template in change.templates]
    assert "/synchronization/" not in change.content.decode()
    assert client.get(f"/admin/shop/album/{album.pk}/synchronization/").status_code == 200
