"""
Packages of others that have to be told about spicy fields, each as soon as the project imports it.

None of them is imported here, and none has to be: a project that does not use one pays nothing. A module below has a
function `introduce`, which gets the module of the other package that it changes, right after that was executed. A
version that looks different from all that are known does not stop the project: the system check spicy_id.W002 tells.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Final

#: Of a module of another package: which module here knows what to do with it.
NEIGHBOURS: Final = {
    "drf_spectacular.openapi": "spectacular",
    "graphene_django.converter": "graphene_types",
    "graphene_django.filter.filterset": "graphene_filters",
    "guardian.shortcuts": "guardian",
    "import_export.resources": "import_export",
    "ninja.orm.fields": "ninja",
    "polymorphic.admin.parentadmin": "polymorphic",
    "reversion.models": "reversion",
    "simple_history.models": "simple_history",
    "strawberry_django.fields.types": "strawberry",
    "strawberry_django.utils.query": "strawberry_permissions",
    "taggit.managers": "taggit",
}

#: What went wrong, by the name of the other module.
problems: Final[dict[str, Exception]] = {}

#: What `introduce_late` is for.
_half_imported: Final[list[ModuleType]] = []


class _Introducer(Loader):
    """Loads a module as its own loader does, and changes it then. All else is for its own loader to answer."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def __getattr__(self, name: str) -> Any:
        if name == "loader":  # of a copy that is still empty
            raise AttributeError(name)
        return getattr(self.loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        # From here on it is as if nobody had been in between.
        module.__loader__ = self.loader
        if module.__spec__:
            module.__spec__.loader = self.loader
        self.loader.exec_module(module)
        introduce(module)


class _Finder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in NEIGHBOURS:
            return None
        for finder in sys.meta_path:
            if finder is self or not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                # A loader without these is one of those that importlib calls in an older way.
                is_known = hasattr(spec.loader, "create_module") and hasattr(spec.loader, "exec_module")
                if spec.loader is not None and is_known and not isinstance(spec.loader, _Introducer):
                    spec.loader = _Introducer(spec.loader)
                return spec
        return None


def introduce(module: Any) -> None:
    """Tell `module`, which is one of `NEIGHBOURS`, about spicy fields."""
    name = module.__name__
    try:
        import_module(f"{__name__}.{NEIGHBOURS[name]}").introduce(module)
    except Exception as error:  # noqa: BLE001 (whatever is unlike what is known; a system check tells)
        problems[name] = error
    else:
        problems.pop(name, None)


def watch() -> None:
    """Introduce the modules that are there, and those to come. Calling it again changes nothing."""
    if any(isinstance(finder, _Finder) for finder in sys.meta_path):
        return
    sys.meta_path.insert(0, _Finder())
    for name in NEIGHBOURS:
        module = sys.modules.get(name)
        if module is None:
            continue
        if getattr(module.__spec__, "_initializing", False):
            _half_imported.append(module)  # which imports, among others, the module that imports us
        else:
            introduce(module)


def introduce_late() -> None:
    """Introduce the modules that were in the middle of their own import when `watch` was called."""
    while _half_imported:
        module = _half_imported.pop()
        if sys.modules.get(module.__name__) is module:  # its import did not fail
            introduce(module)


def replace(package: str, name: str, original: Any, replacement: Any) -> None:
    """Put `replacement` wherever the modules of `package` have `original` by this `name`."""
    for module in list(sys.modules.values()):
        is_of_package = (getattr(module, "__name__", "") + ".").startswith(f"{package}.")
        if is_of_package and module.__dict__.get(name) is original:
            setattr(module, name, replacement)
