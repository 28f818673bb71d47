"""Tags, trees, histories, kinds of one model, languages."""

from __future__ import annotations

from decimal import Decimal

from django.test import Client
from taggit.models import Tag

from tests.applications.content.models import (
    Bed,
    Boat,
    Branch,
    Car,
    Desk,
    Dish,
    Note,
    Place,
    Plant,
    Shelf,
    Vehicle,
)


def use_up_keys() -> None:
    """Have this side give other keys than the other one, by rows that come and go."""
    for number in range(1, 4):
        plant = Plant.objects.create(name=f"early {number}")
        plant.tags.add(f"early {number}")
        for model in (Bed, Place, Vehicle):
            model.objects.create(name="early").delete()
        Dish.objects.create(code="early").delete()
        plant.delete()
        Tag.objects.all().delete()
        Plant.history.all().delete()
        Bed.history.all().delete()


def add() -> None:
    """Some of each."""
    for number, name in enumerate(("oak", "ivy", "fern")):
        plant = Plant.objects.create(name=name, price=Decimal("1.50") + number)
        plant.tags.add("green", name, "Łąka")
    bed = Bed.objects.create(name="south")
    bed.plants.set(Plant.objects.all())
    europe = Place.objects.create(name="Europe")
    for country in ("Poland", "Norway", "Spain"):
        place = Place.objects.create(name=country, parent=europe)
        for city in ("B", "A"):
            Place.objects.create(name=f"{country} {city}", parent=place)
    for tree in (Shelf, Branch, Desk):
        more = {"sib_order": 0} if tree is Desk else {}
        root = tree.add_root(name="root", **more)
        for name in ("c", "a", "b"):
            child = tree.objects.get(pk=root.pk).add_child(name=name, **more)
            child.add_child(name=f"{name}1", **more)
    harbour = Place.objects.get(name="Norway A")
    Car.objects.create(name="van", doors=5)
    Boat.objects.create(name="ferry", length=12.5, harbour=harbour)
    Vehicle.objects.create(name="bike")
    for code, title in (("soup", "Soup"), ("pie", "Pie")):
        dish = Dish.objects.language("en").create(code=code, title=title)
        dish.set_current_language("pl")
        dish.title = f"{title} po polsku"
        dish.save()
    for thing in (Plant.objects.get(name="oak"), harbour, Boat.objects.get()):
        Note.objects.create(about=thing, text=f"about {thing.name}")


def edit() -> None:
    """Changes that do not move anything in a tree."""
    oak = Plant.objects.get(name="oak")
    oak.price = Decimal("99.99")
    oak.save()
    oak.tags.remove("green")
    oak.tags.add("old")
    Tag.objects.get(name="ivy").delete()
    Plant.objects.get(name="fern").delete()
    bed = Bed.objects.get()
    bed.plants.remove(oak)
    bed.name = "north"
    bed.save()
    oak.history.earliest().instance.save()  # back to what it was
    dish = Dish.objects.language("pl").get(code="soup")
    dish.title = "Zupa"
    dish.save()
    dish.delete_translation("en")
    Dish.objects.get(code="pie").delete()
    Boat.objects.get().delete()
    car = Vehicle.objects.get(name="van")
    car.doors = 3
    car.save()


def move() -> None:
    """Subtrees go elsewhere, which shifts rows that nobody saved; others are removed."""
    Place.objects.get(name="Norway").move_to(Place.objects.get(name="Spain"), "first-child")
    Place.objects.get(name="Poland").delete()
    Place.objects.create(name="Asia")
    Place.objects.get(name="Europe").move_to(Place.objects.get(name="Asia"), "last-child")
    for tree in (Shelf, Branch, Desk):
        more = {"sib_order": 0} if tree is Desk else {}
        where = "sorted-child" if tree is Shelf else "last-child"
        tree.objects.get(name="a").move(tree.objects.get(name="b1"), where)
        tree.objects.get(name="c").delete()
        tree.objects.get(name="a1").add_child(name="new", **more)


def check() -> None:
    """What the trees, histories and languages say here."""
    oak = Plant.objects.get(name="oak")
    assert set(oak.tags.names()) == {"oak", "Łąka", "old"}
    assert [str(one.price) for one in oak.history.all()][:3] == ["1.50", "99.99", "1.50"]
    assert Plant.history.filter(history_type="-").count() == 1
    assert type(Vehicle.objects.get(name="van")) is Car
    assert Dish.objects.language("pl").get(code="soup").title == "Zupa"
    assert Client().get("/admin/login/").status_code == 200


def check_trees() -> None:
    """The trees are sound, by their own checks."""
    assert not any(Shelf.find_problems())
    assert [place.name for place in Place.objects.get(name="Asia").get_descendants()] == [
        "Europe", "Spain", "Norway", "Norway A", "Norway B", "Spain A", "Spain B",
    ]  # fmt: skip
    assert {node.name for node in Shelf.objects.get(name="b").get_descendants()} == {"b1", "a", "a1", "new"}
    assert {node.name for node in Branch.objects.get(name="b").get_descendants()} == {"b1", "a", "a1", "new"}
    assert {node.name for node in Desk.objects.get(name="b1").get_children()} == {"a"}
