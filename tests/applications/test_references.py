"""Tags, trees and histories where each side numbers its own rows."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.applications.alike import Pointers, unlike
from tests.applications.compare import CONTENT_TYPES, PERMISSIONS
from tests.applications.guides import apps_left_out
from tests.applications.house import House, Template

#: Of these apps, all tables.
APPS = ("content_", "taggit_", "guardian_", "account_", "socialaccount_", "auth_user", "auth_group")
GENERIC = {
    ("content_note", "object_id"): "content_type_id",
    ("guardian_groupobjectpermission", "object_pk"): "content_type_id",
    ("guardian_userobjectpermission", "object_pk"): "content_type_id",
    ("taggit_taggeditem", "object_id"): "content_type_id",
}
#: Foreign keys that no constraint says, and plain columns.
OTHERS = {
    ("content_historicalbed", "history_user_id"): "auth_user",
    ("content_historicalbed", "id"): "content_bed",
    ("content_historicalbed_plants", "bed_id"): "content_bed",
    ("content_historicalbed_plants", "history_id"): "content_historicalbed",
    ("content_historicalbed_plants", "plant_id"): "content_plant",
    ("content_historicalplant", "history_user_id"): "auth_user",
    ("content_historicalplant", "id"): "content_plant",
}
#: The key that the row of an automatic many-to-many table had.
NOBODYS = (("content_historicalbed_plants", "id"),)


@pytest.fixture(scope="module")
def house(templates: dict[str, Template], tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    if "postgresql" not in templates:
        pytest.skip("there is no server of postgresql: SYNCHRO_TEST_POSTGRESQL_URL does not name one")
    folder = tmp_path_factory.mktemp("references")
    with House.built(templates, ("sqlite", "postgresql"), "triggers", folder, "reference") as built:
        yield built


def assert_alike(house: House) -> None:
    pointers = Pointers(
        own=house.remote.primary_keys(),
        others={
            column: table
            for column, table in (house.remote.foreign_keys() | OTHERS).items()
            if table not in (CONTENT_TYPES, PERMISSIONS)  # which are compared by their names
        },
        generic=GENERIC,
        ignored=NOBODYS,
    )
    tables = [table for table in house.remote.tables() if table.startswith(APPS)]
    found = unlike(house.local, house.remote, apps_left_out(), pointers, tables)
    assert not found, "\n".join(line[:600] for line in found[:60])


def test_the_pages_name_all_columns_that_look_like_keys(house: House) -> None:
    assert "synchro.W030" in house.warnings()  # so the checks were made
    assert "synchro.W033" not in house.warnings()


def test_rows_arrive_under_keys_of_their_own(house: House) -> None:
    house.at_remote.do("build.small.use_up_keys")
    house.set_up()
    house.synchronize()

    house.at_local.do("build.people.add", "build.small.add", "build.people.own")
    house.synchronize()
    assert_alike(house)

    house.at_local.do("build.people.edit", "build.small.edit")
    house.synchronize()
    assert_alike(house)

    house.at_local.do("build.small.move")
    house.synchronize()
    assert_alike(house)
    house.at_remote.do("build.people.check", "build.small.check", "build.small.check_trees")
