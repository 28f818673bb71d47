"""System checks: what a project should know before it goes into production. All are listed in docs/messages.md."""

from __future__ import annotations

from django.core.checks import Tags, register

from synchro.checks.databases import check_databases, check_tables
from synchro.checks.identity import check_identity
from synchro.checks.models import check_models
from synchro.checks.receivers import check_receivers
from synchro.checks.settings import check_settings, check_values

__all__ = [
    "check_databases",
    "check_identity",
    "check_models",
    "check_receivers",
    "check_settings",
    "check_tables",
    "check_values",
    "connect",
]


def connect() -> None:
    """Register the checks with Django; those of capture by triggers are in `synchro.triggers.checks`."""
    register(check_values, Tags.compatibility)
    register(check_settings, Tags.compatibility)
    register(check_databases, Tags.compatibility)
    register(check_models, Tags.models)
    register(check_receivers, Tags.models)
    register(check_tables, Tags.database)
    register(check_identity, Tags.database)
