"""What is watched, and where to: the settings that say so."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from synchro.checks import check_values
from synchro.conf import NAMES, Conf, Setting, conf, warn_without_remote
from synchro.model_options import model_option
from synchro.registry import Table, is_watched, may_become_watched, watched_models, wrong_settings
from tests.fewer_apps import NEEDED
from tests.people.models import ByText, Citizen, City, Club, Employee, Membership, Person, Secret, Team
from tests.shop.models import Customer, Tag

# Some of Django's own checks ask the database what it can do.
pytestmark = [pytest.mark.once, pytest.mark.django_db(databases=["default", "remote"])]

ROOT = Path(__file__).parents[2]


def watched(*entries: Any) -> set[Any]:
    with override_settings(SYNCHRO_MODELS=entries):
        return set(watched_models())


@pytest.mark.parametrize("name", ["auth", "django.contrib.auth", "Auth", "DJANGO.contrib.Auth"])
def test_app_is_named_by_its_label_or_its_path_in_any_letter_case(name: str) -> None:
    tables = {User.groups.through, User.user_permissions.through, Group.permissions.through}
    assert watched(name) == {User, Group, Permission, *tables}


@pytest.mark.parametrize("entry", [("people", "club"), ["tests.people", "CLUB"], ("PEOPLE", "Club")])
def test_models_of_an_app_are_named_in_any_letter_case(entry: Any) -> None:
    assert watched(entry) == {Club}


def test_tuple_of_an_app_alone_means_all_its_models() -> None:
    assert watched(("people",)) == watched("people")


def test_several_entries_add_up() -> None:
    assert watched("people", ("auth", "permission")) == watched("people") | {Permission}


def test_through_tables_of_watched_models_are_watched() -> None:
    assert watched(("people", "Person")) == {
        Person,
        Person.friends.through,
        Person.follows.through,
        Person.clubs.through,
    }
    assert watched(("people", "Team")) == {Team, Membership}


def test_through_table_of_a_skipped_field_is_not_watched() -> None:
    assert watched(("people", "Secret")) == {Secret}


def test_proxy_stands_for_its_model_and_a_child_for_its_parents() -> None:
    assert watched(("people", "Citizen")) == watched(("people", "Person"))
    assert watched(("people", "Employee")) == watched(("people", "Person")) | {Employee}
    with override_settings(SYNCHRO_MODELS=[("people", "Person")]):
        assert is_watched(Citizen)


def test_skipped_columns_are_not_synchronized() -> None:
    table = Table(Person)
    assert {field.name for field in table.fields} == {"id", "name", "city"}
    assert [field.name for field in table.skipped] == ["balance"]


def test_nothing_is_watched_by_default() -> None:
    assert watched() == set()


@pytest.mark.parametrize(
    ("entries", "named"),
    [
        (["nowhere"], "'nowhere'"),
        (["auth.User"], "'auth.User'"),
        ([("people", "Club", "Ghost")], "'Ghost'"),
        (["synchro"], "synchro itself"),
        ("people", r"\['people'\]"),
        ([5], "5"),
        ([()], r"\(\)"),
        ([("people", 5)], "5"),
        (None, "None"),
    ],
)
def test_wrong_entry_is_refused_by_its_name(entries: Any, named: str) -> None:
    with override_settings(SYNCHRO_MODELS=entries), pytest.raises(ImproperlyConfigured, match=named):
        watched_models()


def test_overridden_settings_are_obeyed_at_once(settings: Any) -> None:
    settings.SYNCHRO_MODELS = ["people"]
    assert is_watched(City)
    settings.SYNCHRO_MODELS = [("people", "club")]
    assert not is_watched(City)
    settings.SYNCHRO_BATCH_SIZE = 7
    assert conf.batch_size == 7
    del settings.SYNCHRO_BATCH_SIZE
    assert conf.batch_size == 20_000
    assert is_watched(ByText) is False


# -- models that are left out --------------------------------------------------------------------------------


def test_model_of_an_app_can_be_left_out_in_any_order_and_letter_case() -> None:
    everything = watched("people")
    assert watched("people", "-people.Club") == everything - {Club}
    assert watched("-tests.people.CLUB", "people") == everything - {Club}


def test_model_that_is_left_out_takes_its_own_many_to_many_tables_with_it() -> None:
    assert watched("auth", "-auth.User") == {Group, Permission, Group.permissions.through}


def test_through_model_that_is_left_out_is_not_watched_by_way_of_its_field() -> None:
    assert watched(("people", "Team"), "-people.Membership") == {Team}


def test_child_can_be_left_out_without_its_parent() -> None:
    assert watched("people", "-people.Employee") == watched("people") - {Employee}


@pytest.mark.parametrize(
    ("entries", "named"),
    [
        (["people", "-people.Person"], "leaves people.Person out and watches people.Employee"),
        (["people", "-people.Ghost"], "'Ghost'"),
        (["people", "-nowhere.Club"], "'nowhere'"),
        (["people", "-people"], "'-shop.Log'"),
        (["people", ("-people", "Club")], "'-shop.Log'"),
        (["people", ("people", "-Club")], "'-shop.Log'"),
        (["people", "-people.Citizen"], "people.Person, whose rows it shows"),
        (["people", "-people.Person_clubs"], "SYNCHRO_SKIP of people.Person"),
        ([("people", "Club"), "-people.Club"], "names people.Club, and leaves it out too"),
    ],
)
def test_wrong_exclusion_is_refused_by_its_name(entries: Any, named: str) -> None:
    with override_settings(SYNCHRO_MODELS=entries), pytest.raises(ImproperlyConfigured, match=named):
        watched_models()


# -- SYNCHRO_MODEL_OPTIONS -----------------------------------------------------------------------------------


def options(**by_model: Any) -> Any:
    return override_settings(
        SYNCHRO_MODEL_OPTIONS={f"people.{name}": given for name, given in by_model.items()}
    )


def test_option_of_the_setting_says_what_the_attribute_would_say() -> None:
    with options(Person={"SKIP": ("name",)}, club={"IDENTITY": "pk"}):
        assert "name" in {field.name for field in Table(Person).skipped}
        assert "name" not in {field.name for field in Table(Person).fields}
        assert model_option(Club, "IDENTITY") == "pk"
    assert "name" in {field.name for field in Table(Person).fields}
    assert model_option(Club, "IDENTITY") is None


def test_option_of_the_setting_comes_before_the_attribute_and_is_inherited() -> None:
    assert model_option(Person, "SKIP") == ("balance",)
    with options(Person={"CONFLICT": "local", "SKIP": ()}):
        assert model_option(Person, "SKIP") == ()
        assert model_option(Employee, "CONFLICT") == "local"
        assert model_option(Citizen, "CONFLICT") == "local"
    with options(Person={"CONFLICT": "local"}, Employee={"CONFLICT": "remote"}):
        assert model_option(Employee, "CONFLICT") == "remote"


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (["people.Club"], "SYNCHRO_MODEL_OPTIONS is ['people.Club']; it must be a dictionary"),
        ({"people.Clubb": {}}, "'people.Clubb', which no installed app has. Did you mean 'people.Club'?"),
        ({"Club": {}}, "names 'Club'; name a model by its app's label"),
        ({5: {}}, "names 5; name a model by its app's label"),
        ({"people.Citizen": {}}, "the proxy 'people.Citizen'. Name 'people.Person'"),
        ({"people.Person_clubs": {}}, "Name 'people.Person', which declares the field"),
        ({"people.Club": "pk"}, "['people.Club'] is 'pk'; it must be a dictionary"),
        (
            {"people.Club": {"SYNCHRO_IDENTITY": "pk"}},
            "'SYNCHRO_IDENTITY', which is no option: did you mean 'IDENTITY'?",
        ),
        ({"people.Club": {"IDENTITI": "pk"}}, "did you mean 'IDENTITY'?"),
        ({"people.Club": {"x": "pk"}}, "there are SKIP, IDENTITY"),
    ],
)
def test_wrong_model_options_are_told_by_a_check(value: Any, told: str) -> None:
    with override_settings(SYNCHRO_MODEL_OPTIONS=value):
        (found,) = check_values()
    assert found.id == "synchro.E007"
    assert told in found.msg


# -- SYNCHRO_REMOTE ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "aliases"), [("remote", ("remote",)), (None, ()), (["remote"], ("remote",)), ([], ())]
)
def test_remote_is_an_alias_or_none_or_several(value: Any, aliases: tuple[str, ...]) -> None:
    with override_settings(SYNCHRO_REMOTE=value):
        assert conf.remotes == aliases
        assert wrong_settings() == []


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ("elsewhere", "'elsewhere'"),
        ("default", "'default'"),
        (["remote", "remote"], "twice"),
        (5, "5"),
        ([None], "None"),
    ],
)
def test_remote_that_cannot_be_is_refused(value: Any, named: str) -> None:
    with override_settings(SYNCHRO_REMOTE=value), pytest.raises(ImproperlyConfigured, match=named):
        _ = conf.remotes


def test_absent_remote_means_log_only_and_warns_once(settings: Any) -> None:
    del settings.SYNCHRO_REMOTE
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_without_remote()
        assert conf.remotes == ()
    assert [
        (warning.category, "SYNCHRO_REMOTE is not set" in str(warning.message)) for warning in caught
    ] == [(RuntimeWarning, True)]


@pytest.mark.parametrize("name", ["CAPTURE", "IDENTITY", "ON_ERROR"])
def test_choice_that_does_not_exist_is_refused_with_the_choices(name: str) -> None:
    with (
        override_settings(**{f"SYNCHRO_{name}": "nonsense"}),
        pytest.raises(ImproperlyConfigured, match=f"SYNCHRO_{name} is 'nonsense'; it can be '.* or '"),
    ):
        getattr(conf, name.lower())


# -- a project whose settings are wrong ----------------------------------------------------------------------

WRONG = [
    ("REMOTE", "elsewhere", "SYNCHRO_REMOTE names 'elsewhere'"),
    ("CAPTURE", "trigger", "SYNCHRO_CAPTURE is 'trigger'; it can be 'signals' or 'triggers'"),
    ("MODELS", ["nowhere"], "SYNCHRO_MODELS names the app 'nowhere'"),
    ("MODELS", [("people", "Ghost")], "SYNCHRO_MODELS names the model 'Ghost'"),
    ("BATCH_SIZE", 0, "SYNCHRO_BATCH_SIZE is 0"),
    ("ALLOW_RESET", "no", "SYNCHRO_ALLOW_RESET is 'no'; it must be True or False"),
    ("DEBUG", "False", "SYNCHRO_DEBUG is 'False'; it must be True or False"),
    ("REMOTE", "remot", "Did you mean 'remote'?"),
    ("MODELS", ["peple"], "Did you mean 'people'?"),
    ("MODELS", [("people", "Persn")], "Did you mean 'Person'"),
    (
        "MODELS",
        ("people", "Person"),
        "A model is named by a tuple in the list: SYNCHRO_MODELS = [('people', 'Person')]",
    ),
    ("MODELS", ["people.Person"], "SYNCHRO_MODELS = [('people', 'Person')]"),
    ("MODELS", ["tests.people.person"], "SYNCHRO_MODELS = [('people', 'Person')]"),
]


#: Of the suite's apps those that these tests are about: a process loads all that there are first.
SETTINGS = f"""
from tests.settings import *
INSTALLED_APPS = {[*NEEDED, "tests.people"]}
SYNCHRO_MODELS = ["people"]
ROOT_URLCONF = None
"""


def run_project(folder: Path, settings: str, *command: str) -> subprocess.CompletedProcess[str]:
    """A process of its own, with the tests' settings and these."""
    (folder / "broken.py").write_text(f"{SETTINGS}\n{settings}\n")
    path = f"{folder}{os.pathsep}{ROOT}"
    return subprocess.run(
        [sys.executable, *command],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "broken", "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(("name", "value", "told"), WRONG)
def test_wrong_setting_is_the_one_thing_that_checks_tell(name: str, value: Any, told: str) -> None:
    with override_settings(**{f"SYNCHRO_{name}": value}):
        (found,) = (message for message in run_checks() if (message.id or "").startswith("synchro."))
    assert found.id == "synchro.E007"
    assert told in found.msg


@pytest.mark.parametrize(
    "command",
    [
        ["check"],
        ["synchronize"],
        ["synchro_install_triggers", "--check"],
        ["migrate"],
        ["createsuperuser", "--noinput", "--username=eve", "--email=eve@example.org"],
    ],
    ids=" ".join,
)
def test_every_command_tells_it_without_a_traceback(command: list[str], tmp_path: Path) -> None:
    run = run_project(tmp_path, "SYNCHRO_MODELS = ['nowhere']", "-m", "django", *command)
    assert run.returncode != 0
    assert "SYNCHRO_MODELS names the app 'nowhere'" in run.stderr
    assert "Traceback" not in run.stderr


SAVE = """
import django
django.setup()
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from tests.people.models import ByBytes
connection.execute_wrapper(lambda *_: 1 / 0).__enter__()
for write in (ByBytes(pk=b"a").save, ByBytes(pk=b"a").delete):
    try:
        write()
    except ImproperlyConfigured as error:
        print(error)
"""


@pytest.mark.parametrize("flags", [[], ["-O"]])
def test_process_that_makes_no_checks_writes_nothing(flags: list[str], tmp_path: Path) -> None:
    run = run_project(tmp_path, "SYNCHRO_MODELS = ['nowhere']", *flags, "-c", SAVE)
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("SYNCHRO_MODELS names the app 'nowhere'") == 2


def test_mistyped_name_of_a_setting_is_told_with_the_right_one(settings: Any) -> None:
    settings.SYNCHRO_MODEL = ["people"]
    (found,) = (message for message in run_checks() if message.id == "synchro.W008")
    assert "SYNCHRO_MODEL " in found.msg
    assert found.hint == "Did you mean SYNCHRO_MODELS?"


def ids(run: subprocess.CompletedProcess[str]) -> list[str]:
    return re.findall(r"\(synchro\.(\w+)\)", run.stdout + run.stderr)


RUN = """
import django
django.setup()
from synchro.core import call_synchronize
from synchro.exceptions import NotReady
try:
    call_synchronize()
except NotReady as error:
    print(error)
"""
NO_DRIVER = "sys.modules['MySQLdb'] = None; DATABASES['{alias}']['ENGINE'] = 'django.db.backends.mysql'"


@pytest.mark.parametrize("alias", ["default", "remote"])
@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ("DATABASES['{alias}'] = {{'ENGINE': 'django.db.backends.postgres'}}", "No module named"),
        (f"import sys; {NO_DRIVER}", "MySQLdb"),
    ],
    ids=["unknown engine", "no driver"],
)
@pytest.mark.parametrize(
    "command",
    [
        ("-m", "django", "check"),
        ("-m", "django", "synchronize"),
        ("-m", "django", "synchro_install_triggers", "--database", "{alias}"),
        ("-m", "django", "migrate"),
        ("-c", RUN),
    ],
    ids=["check", "synchronize", "triggers", "migrate", "call_synchronize"],
)
def test_engine_that_cannot_be_loaded_is_said_in_one_sentence(
    command: tuple[str, ...], broken: str, reason: str, alias: str, tmp_path: Path
) -> None:
    """Django loads that of LOCAL with the first model; newer versions of it load every engine for their own checks."""
    run = run_project(tmp_path, broken.format(alias=alias), *(word.format(alias=alias) for word in command))
    (told,) = (line for line in (run.stdout + run.stderr).splitlines() if "cannot be loaded" in line)
    assert f"DATABASES['{alias}'] has the ENGINE 'django.db.backends." in told
    assert reason in told
    assert "install its driver" in told
    assert "Traceback" not in run.stderr
    assert (run.returncode == 0) == ("-c" in command)


def test_database_without_an_engine_is_said_by_check(tmp_path: Path) -> None:
    run = run_project(tmp_path, "DATABASES['remote'] = {'NAME': 'x'}", "-m", "django", "check")
    assert "DATABASES['remote'] has no ENGINE" in run.stderr
    assert ids(run).count("E050") == 1


def test_remote_that_is_not_named_is_said_by_check(tmp_path: Path) -> None:
    run = run_project(tmp_path, "del SYNCHRO_REMOTE", "-W", "ignore", "-m", "django", "check")
    assert run.returncode == 0
    assert "W050" in ids(run)


class Elsewhere:
    """A router of the kind that Django's documentation shows."""

    def db_for_write(self, model: Any, **hints: Any) -> str | None:
        return "remote" if model._meta.app_label == "people" else None


def test_router_that_writes_watched_models_elsewhere_is_said_once(settings: Any) -> None:
    settings.SYNCHRO_MODELS = ["people", "auth"]
    settings.DATABASE_ROUTERS = [Elsewhere()]
    (found,) = (message for message in run_checks() if message.id == "synchro.W051")
    assert "people." in found.msg
    assert "to 'remote'" in found.msg
    assert "auth." not in found.msg


@pytest.mark.parametrize("app", ["sessions", "contenttypes"])
def test_what_belongs_to_one_server_is_not_to_be_watched(app: str, settings: Any) -> None:
    settings.SYNCHRO_MODELS = [app]
    (found,) = (message for message in run_checks() if message.id == "synchro.W052")
    assert found.hint == f"Take {app!r} out of SYNCHRO_MODELS."


def test_app_that_synchro_needs_is_named(tmp_path: Path) -> None:
    run = run_project(tmp_path, "INSTALLED_APPS = ['synchro']", "-m", "django", "check")
    assert "ImproperlyConfigured: synchro needs 'django.contrib.contenttypes'" in run.stderr
    assert "add it to INSTALLED_APPS." in run.stderr


def test_project_with_the_default_key_of_its_django_lacks_no_migration(tmp_path: Path) -> None:
    run = run_project(
        tmp_path, "SYNCHRO_REMOTE = None", "-m", "django", "makemigrations", "--check", "--dry-run"
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_settings_document_describes_every_setting_in_the_order_of_the_code() -> None:
    names = [setting.name for setting in vars(Conf).values() if isinstance(setting, Setting)]
    names.insert(1, "SYNCHRO_REMOTE")
    assert set(names) == set(NAMES)
    text = (ROOT / "docs" / "settings.md").read_text()
    assert [line.strip("# `") for line in text.splitlines() if line.startswith("## `SYNCHRO_")] == names


def test_model_that_is_left_out_does_not_become_watched_by_a_migration() -> None:
    with override_settings(SYNCHRO_MODELS=["shop", "-shop.Tag"]):
        assert not may_become_watched(Tag)
        assert may_become_watched(Customer)
        assert not may_become_watched(Person)
