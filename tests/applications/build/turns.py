"""What both sides do between two runs: each to other rows, and with new rows on one side only."""

from __future__ import annotations

from decimal import Decimal

from django.contrib.auth.models import Group, User
from oscar.core.loading import get_model

from tests.applications.build.oscar_shop import place_order
from tests.applications.content.models import ArticlePage, Dish, Plant


def at_local() -> None:
    """A new order, a published page, tags."""
    place_order("bert")
    article = ArticlePage.objects.get(slug="article-2")
    article.title = "Article two, of LOCAL"
    article.save_revision(user=User.objects.get(username="admin")).publish()
    Plant.objects.get(name="oak").tags.add("of LOCAL")


def at_remote() -> None:
    """Only what is there already: both sides would give new rows the same keys."""
    record = get_model("partner", "StockRecord").objects.get(product__title="Rye")
    record.price = Decimal("5.55")
    record.save()
    Group.objects.get(name="Editors").user_set.add(User.objects.get(username="cora"))
    dish = Dish.objects.get(code="soup")
    dish.code = "broth"
    dish.save()
    bert = User.objects.get(username="bert")
    bert.first_name = "Bert"
    bert.save()
