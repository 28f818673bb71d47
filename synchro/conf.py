"""
All settings, with their defaults, on one screen.

They are looked up in Django's settings each time they are asked for, so that ``override_settings`` works.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from difflib import get_close_matches
from typing import Any, Final, Generic, TypeVar, overload

from django.conf import settings

from synchro.exceptions import WrongSetting

LOCAL: Final = "default"

IDENTITIES: Final = ("reference", "pk")

T = TypeVar("T")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a sentence that names the most similar ones of `known`; empty where none is."""
    alike = get_close_matches(name, list(known), n=3)
    return f" Did you mean {' or '.join(map(repr, alike))}?" if alike else ""


def _one_of(*choices: str | None) -> tuple[Callable[[Any], bool], str]:
    return lambda value: value in choices, f"can be {' or '.join(map(repr, choices))}"


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_mapping(value: Any) -> bool:
    return isinstance(value, Mapping)


def _is_truth_value(value: Any) -> bool:
    """A text such as ``"no"``, as it comes from the environment, is true to Python."""
    return isinstance(value, bool)


def _is_length_of_time(value: Any) -> bool:
    return value is None or (isinstance(value, timedelta) and value >= timedelta(0))


def _are_texts(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(name, str) for name in value)


#: What says more than a name in ``SYNCHRO_RECEIVERS``.
RECEIVERS: Final = ("all", "none", "raw")


def _is_choice_of_receivers(value: Any) -> bool:
    names = (value,) if isinstance(value, str) and value in RECEIVERS else value
    return (
        isinstance(names, list | tuple | set | frozenset)
        and all(isinstance(name, str) and name.removeprefix("-") for name in names)
        and (len(names) == 1 or "none" not in names)
    )


is_choice_of_receivers: Final = (
    _is_choice_of_receivers,
    "can be 'all', 'none', 'raw', or a list of app labels, 'app.Model' labels and dotted paths, each with '-' "
    "before it to leave it out, such as ['all', '-simple_history']",
)


def _is_pairs_of_labels(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(label, str) and label.count(".") == 1 for pair in value.items() for label in pair
    )


class Setting(Generic[T]):
    """A setting of the project, by the name ``SYNCHRO_<ATTRIBUTE>``; `allowed` tells what it can be, in words too."""

    def __init__(self, default: T, allowed: tuple[Callable[[Any], bool], str] | None = None) -> None:
        self.default = default
        self.allowed = allowed

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = f"SYNCHRO_{name.upper()}"

    @overload
    def __get__(self, instance: None, owner: type) -> Setting[T]: ...
    @overload
    def __get__(self, instance: Conf, owner: type) -> T: ...
    def __get__(self, instance: Conf | None, owner: type) -> Setting[T] | T:
        if instance is None:
            return self
        value: T = getattr(settings, self.name, self.default_now())
        if self.allowed is not None:
            is_allowed, words = self.allowed
            if not is_allowed(value):
                raise WrongSetting(f"{self.name} is {value!r}; it {words}.")
        return value

    def default_now(self) -> T:
        return self.default


class Receivers(Setting[Any]):
    """Where changes are captured by triggers, what receivers did on LOCAL travels by itself."""

    def default_now(self) -> Any:
        return "none" if getattr(settings, "SYNCHRO_CAPTURE", None) == "triggers" else self.default


class Conf:
    """Each attribute raises `WrongSetting` where the project's setting has a value that cannot be."""

    #: What is watched: app labels, dotted app paths, ``(app, 'Model', ...)`` tuples.
    models: Setting[Sequence[Any]] = Setting(())
    #: Options of models that one did not write: ``{'shop.Order': {'IDENTITY': 'pk'}}``.
    model_options: Setting[Mapping[str, Mapping[str, Any]]] = Setting(
        {}, (_is_mapping, "must be a dictionary, such as {'shop.Order': {'IDENTITY': 'pk'}}")
    )
    #: How entries get written: ``'signals'`` or ``'triggers'``.
    capture: Setting[str] = Setting("signals", _one_of("signals", "triggers"))
    #: Whether the admin view offers to reset.
    allow_reset: Setting[bool] = Setting(True, (_is_truth_value, "must be True or False"))
    #: Whether the log has all words of an error of a job, values of rows among them.
    debug: Setting[bool] = Setting(False, (_is_truth_value, "must be True or False"))
    #: How rows with automatic keys find each other: ``'reference'``, or ``'pk'`` for the same key on both sides.
    identity: Setting[str] = Setting("reference", _one_of(*IDENTITIES))
    #: Who wins where both sides changed: ``'newer'``, ``'local'``, ``'remote'``, or the dotted path of a callable.
    conflict: Setting[Any] = Setting("newer")
    #: How many entries are replayed in one REMOTE transaction.
    batch_size: Setting[int] = Setting(20_000, (_is_size, "must be a whole number of at least 1"))
    #: How long entries are kept after every REMOTE has them; ``None`` keeps all.
    retention: Setting[timedelta | None] = Setting(
        timedelta(days=30), (_is_length_of_time, "must be a datetime.timedelta, or None to keep all entries")
    )
    #: What to do with a change that REMOTE refuses: ``'stop'`` or ``'quarantine'``.
    on_error: Setting[str] = Setting("stop", _one_of("stop", "quarantine"))
    #: Whose code runs for REMOTE's objects: ``'all'``, ``'none'`` (the default with triggers), ``'raw'``, or names.
    receivers: Setting[Any] = Receivers("all", is_choice_of_receivers)

    #: What does the work that the dashboard is asked for: ``'tasks'`` (Django's), ``'celery'`` or ``'process'``;
    #: ``None`` takes the first of these that the project has configured.
    executor: Setting[str | None] = Setting(None, _one_of("tasks", "celery", "process", None))

    #: Models that have moved, where `migrate` cannot know it: ``{'old_app.Model': 'new_app.Model'}``.
    moved: Setting[dict[str, str]] = Setting(
        {}, (_is_pairs_of_labels, "must be a dictionary of labels, such as {'shop.Order': 'sales.Order'}")
    )

    #: Triggers of REMOTE's own, by name or pattern, that may fire for what is replayed.
    remote_triggers: Setting[Sequence[str]] = Setting(
        (),
        (_are_texts, "must be a list or tuple of names of triggers, such as ('shop_order.audit', 'touch_*')"),
    )

    @property
    def remotes(self) -> tuple[str, ...]:
        """
        The aliases named by ``SYNCHRO_REMOTE``; empty where entries are only logged.

        Raises `WrongSetting` for an alias that is not in ``DATABASES``, or is LOCAL's.
        """
        value: Any = getattr(settings, "SYNCHRO_REMOTE", None)
        aliases = () if value is None else tuple(value) if isinstance(value, list | tuple) else (value,)
        for alias in aliases:
            if not isinstance(alias, str):
                raise WrongSetting(f"SYNCHRO_REMOTE names {alias!r}, which is no database alias.")
            if alias not in settings.DATABASES:
                cure = did_you_mean(alias, settings.DATABASES)
                raise WrongSetting(f"SYNCHRO_REMOTE names {alias!r}, which is not in DATABASES.{cure}")
            if alias == LOCAL:
                raise WrongSetting(
                    f"SYNCHRO_REMOTE names {LOCAL!r}, the database whose changes are captured. Name the one that they "
                    "are to be replayed into, or None."
                )
        if len(set(aliases)) != len(aliases):
            raise WrongSetting("SYNCHRO_REMOTE names a database twice: name each one once.")
        return aliases


conf = Conf()

#: The names of all settings.
NAMES: Final = (
    "SYNCHRO_REMOTE",
    *(setting.name for setting in vars(Conf).values() if isinstance(setting, Setting)),
)


def wrong_values() -> Iterator[WrongSetting]:
    """What is wrong with the settings, one error each; what ``SYNCHRO_MODELS`` names is the registry's matter."""
    for name in NAMES:
        try:
            getattr(conf, "remotes" if name == "SYNCHRO_REMOTE" else name.removeprefix("SYNCHRO_").lower())
        except WrongSetting as error:
            yield error


def unknown_names() -> list[str]:
    """The project's settings that begin with ``SYNCHRO_`` and are none of synchro's."""
    return [name for name in dir(settings) if name.startswith("SYNCHRO_") and name not in NAMES]


def warn_without_remote() -> None:
    """Warn where ``SYNCHRO_REMOTE`` is absent, which may be meant or forgotten."""
    if not hasattr(settings, "SYNCHRO_REMOTE"):
        warnings.warn(
            "SYNCHRO_REMOTE is not set: changes are logged, but nothing can be synchronized. "
            "Set it to a database alias, or to None to say that this is meant.",
            RuntimeWarning,
            stacklevel=2,
        )
