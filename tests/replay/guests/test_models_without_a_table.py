"""Views and models without a table, in an app that is watched as a whole, do not stop the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from io import StringIO
from typing import Any

import pytest
from django.apps import apps
from django.contrib.contenttypes.models import ContentType
from django.core.checks import run_checks
from django.core.management import CommandError, call_command
from django.db import connections, models

from synchro.core import call_synchronize
from synchro.exceptions import NotReady
from synchro.models import ADDITION, ChangeLog
from synchro.registry import forget_cached
from tests.replay.deployments import BY_TRIGGERS, LOCAL, captured_by_triggers, remote_count, set_capture
from tests.shop.models import Customer

pytestmark = pytest.mark.django_db(databases=["default", "remote"], transaction=True)


@pytest.fixture(autouse=True)
def _triggers_as_before(transactional_db: None) -> Iterator[None]:
    """What installs triggers of a few models removes those of the others."""
    yield
    if BY_TRIGGERS:
        set_capture(LOCAL, "triggers")


@pytest.fixture
def _odd_ones() -> Iterator[None]:
    """The app has a model whose table is a view, and one that has none at all."""
    made = [
        type(
            name,
            (models.Model,),
            {
                "__module__": "tests.shop.models",
                "Meta": type("Meta", (), {"managed": False, "app_label": "shop"}),
            },
        )
        for name in ("Summary", "Rights")
    ]
    with connections[LOCAL].cursor() as cursor:
        cursor.execute("CREATE VIEW shop_summary AS SELECT id FROM shop_customer")
    _forget()
    yield
    with connections[LOCAL].cursor() as cursor:
        cursor.execute("DROP VIEW shop_summary")
    for model in made:
        del apps.all_models["shop"][model.__name__.lower()]
    _forget()


def _forget() -> None:
    apps.clear_cache()
    forget_cached()


@pytest.mark.usefixtures("_odd_ones")
@pytest.mark.parametrize(
    "capture", [nullcontext, lambda: captured_by_triggers("shop")], ids=["plain", "triggers"]
)
def test_models_of_the_app_that_have_tables_are_synchronized(
    settings: Any, capture: Callable[[], AbstractContextManager[None]]
) -> None:
    settings.SYNCHRO_MODELS = ["shop"]
    with capture():
        Customer.objects.create(name="Vimes")
        # As signals log what is saved through a view that can be written.
        kind = ContentType.objects.get_for_model(apps.get_model("shop", "Summary"))
        ChangeLog.objects.create(content_type=kind, object_id="1", action=ADDITION)
        report = call_synchronize()
    assert remote_count(Customer) == 1
    ContentType.objects.filter(pk=kind.pk).delete()
    # (REMOTE has no triggers, which is said too.)
    named = [warning.split()[0] for warning in report.warnings if warning.startswith("shop.")]
    assert named == ["shop.Rights", "shop.Summary"]
    assert [found.id for found in run_checks() if found.id == "synchro.W001"] == ["synchro.W001"] * 2


@pytest.mark.usefixtures("_odd_ones")
def test_model_that_is_asked_for_by_its_name_has_to_have_a_table(settings: Any) -> None:
    settings.SYNCHRO_MODELS, settings.SYNCHRO_CAPTURE = [("shop", "Customer", "Rights")], "signals"
    Customer.objects.create(name="Vimes")
    with pytest.raises(NotReady, match="shop_rights"):
        call_synchronize()

    settings.SYNCHRO_MODELS, settings.SYNCHRO_CAPTURE = [("shop", "Summary")], "triggers"
    with pytest.raises(CommandError, match="is a view"):
        call_command("synchro_install_triggers", stdout=StringIO())
