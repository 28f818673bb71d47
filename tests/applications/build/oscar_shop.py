"""An Oscar shop."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from oscar.apps.catalogue.categories import create_from_breadcrumbs
from oscar.core.loading import get_model
from oscar.test import factories

Basket = get_model("basket", "Basket")
Category = get_model("catalogue", "Category")
Country = get_model("address", "Country")
Offer = get_model("offer", "ConditionalOffer")
Order = get_model("order", "Order")
Product = get_model("catalogue", "Product")
StockRecord = get_model("partner", "StockRecord")
UserAddress = get_model("address", "UserAddress")
WishList = get_model("wishlists", "WishList")


def add() -> None:
    """Categories, products with attributes and variants, stock, offers, vouchers, customers' baskets and orders."""
    Country.objects.create(
        iso_3166_1_a2="PL",
        iso_3166_1_a3="POL",
        printable_name="Poland",
        name="POLAND",
        is_shipping_country=True,
    )
    for crumbs in ("Food > Bread > Rye", "Food > Jam", "Shoes > Boots"):
        create_from_breadcrumbs(crumbs)
    for number, name in enumerate(("Rye", "Jam", "Boots", "Socks")):
        product = factories.create_product(
            upc=f"0{number}",
            title=name,
            product_class="Things",
            partner_name="Baker",
            price=Decimal("9.99") + number,
            num_in_stock=20,
            attributes={"colour": "brown"},
        )
        product.categories.add(Category.objects.order_by("path")[number])
    _have_sizes(Product.objects.get(title="Boots"))
    rye, jam = Product.objects.get(title="Rye"), Product.objects.get(title="Jam")
    get_model("catalogue", "ProductRecommendation").objects.create(primary=rye, recommendation=jam)
    factories.create_offer(name="A fifth off")
    factories.create_voucher(name="Welcome", code="WELCOME")
    for name in ("bert", "cora"):
        place_order(name)
    wishes = WishList.objects.create(owner=User.objects.get(username="cora"), name="Birthday")
    wishes.add(Product.objects.get(title="Socks"))


def _have_sizes(parent: Any) -> None:
    parent.structure = Product.PARENT
    parent.save()
    parent.stockrecords.all().delete()
    for size in ("40", "41"):
        factories.create_product(
            upc=f"b{size}",
            title=f"{parent.title} {size}",
            parent=parent,
            price=Decimal(70),
            num_in_stock=3,
            product_class="Things",
        )


def shopper(name: str) -> Client:
    """The browser of somebody who has logged in."""
    client = Client()
    client.force_login(User.objects.get(username=name), backend="django.contrib.auth.backends.ModelBackend")
    return client


def place_order(name: str, voucher: str = "") -> str:
    """As a customer does, page by page; the order's number."""
    client = shopper(name)
    product = Product.objects.get(title="Jam")
    assert client.get(product.get_absolute_url()).status_code == 200
    _posted(client, reverse("basket:add", args=[product.pk]), {"quantity": 2})
    if voucher:
        _posted(client, reverse("basket:vouchers-add"), {"code": voucher})
    client.get(reverse("checkout:index"))
    _posted(client, reverse("checkout:shipping-address"), {
        "first_name": name, "last_name": "K", "line1": "Long street 1", "line4": "Gdańsk", "postcode": "80-180",
        "country": "PL", "phone_number": "", "notes": "",
    })  # fmt: skip
    client.get(reverse("checkout:shipping-method"))
    client.get(reverse("checkout:payment-method"))
    _posted(client, reverse("checkout:preview"), {"action": "place_order"})
    number: str = Order.objects.filter(user__username=name).latest("date_placed").number
    assert number in client.get(reverse("checkout:thank-you")).content.decode()
    return number


def _posted(client: Client, url: str, form: dict[str, Any]) -> None:
    answer = client.post(url, form)
    assert answer.status_code == 302, f"{url}: {answer.content.decode()}"


def edit() -> None:
    """Prices, stock, addresses, statuses, an order with a voucher, things that are no longer sold."""
    cora = User.objects.get(username="cora")
    address = {"user": cora, "country": Country.objects.get(), "postcode": "80-180"}
    for line, is_default in (("Here 1", True), ("There 2", False)):
        UserAddress.objects.create(line1=line, is_default_for_shipping=is_default, **address)
    other = UserAddress.objects.get(line1__iexact="There 2")
    other.is_default_for_shipping = True
    other.save()  # so the first one is no longer
    order = Order.objects.earliest("date_placed")
    order.set_status("Processed")
    order.notes.create(message="packed", user=cora)
    place_order("bert", voucher="WELCOME")
    record = StockRecord.objects.get(product__title="Jam")
    record.price = Decimal("3.33")
    record.save()
    Product.objects.get(title="Socks").delete()
    Product.objects.get(title="Rye").reviews.create(user=cora, score=5, title="Good", body="Bread", status=1)
    basket = Basket.objects.create(owner=cora)
    basket.strategy = factories.Default()
    basket.add_product(Product.objects.get(title="Rye"), 1)
    offer = Offer.objects.get(name="A fifth off")
    offer.priority = 7
    offer.save()


def move() -> None:
    """A category goes below another one, and one is removed."""
    Category.objects.get(name="Bread").move(Category.objects.get(name="Shoes"), "first-child")
    Category.objects.get(name="Jam").delete()
    create_from_breadcrumbs("Food > Honey")


def check() -> None:
    """The shop works: products are shown, orders are there, and new ones can be placed."""
    assert Client().get("/shop/catalogue/").status_code == 200
    client = shopper("bert")
    for order in Order.objects.filter(user__username="bert"):
        assert order.number in client.get(reverse("customer:order", args=[order.number])).content.decode()
    assert shopper("admin").get(reverse("dashboard:order-list")).status_code == 200


def check_trees() -> None:
    """Categories are where they were moved to."""
    assert [one.name for one in Category.objects.get(name="Shoes").get_descendants()] == [
        "Bread",
        "Rye",
        "Boots",
    ]
    assert not any(Category.find_problems())


def buy() -> None:
    """Another order."""
    place_order("cora")
