from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig, apps
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.db.backends.signals import connection_created
from django.db.models.signals import post_migrate, pre_migrate
from django.utils.translation import gettext_lazy as _

from synchro.conf import LOCAL


class SynchroConfig(AppConfig):
    name = "synchro"
    verbose_name = _("Synchronization")
    default_auto_field = "django.db.models.BigAutoField"

    def __init__(self, app_name: str, app_module: Any) -> None:
        super().__init__(app_name, app_module)
        # Before the first model is made, which asks LOCAL's engine how long names may be.
        self._stand_in_for_engines([LOCAL])

    def import_models(self) -> None:
        needed = "django.contrib.contenttypes"
        if not apps.is_installed(needed):
            raise ImproperlyConfigured(f"synchro needs {needed!r}: add it to INSTALLED_APPS.")
        super().import_models()

    def ready(self) -> None:
        from synchro import checks, conf, historical, registry, saving, signals, switch, unsignalled
        from synchro.last_check import checkpoint_set
        from synchro.rewind import on_checkpoint_set

        conf.warn_without_remote()
        setting_changed.connect(registry.on_setting_changed, dispatch_uid="synchro_model_options")
        self._stand_in_for_engines()
        signals.connect()
        saving.capture_saves()
        unsignalled.watch_query_sets()
        pre_migrate.connect(
            historical.on_migrate_begins, sender=self, dispatch_uid="synchro_historical_begin"
        )
        post_migrate.connect(historical.on_migrate_ends, sender=self, dispatch_uid="synchro_historical_end")
        if registry.wrong_settings():
            signals.refuse_to_write()
        connection_created.connect(switch.watch_statements, dispatch_uid="synchro_switch")
        self._keep_triggers()
        self._extend_pgtrigger()
        checks.connect()
        checkpoint_set.connect(on_checkpoint_set, dispatch_uid="synchro_checkpoint")

    def _stand_in_for_engines(self, aliases: Sequence[str] | None = None) -> None:
        from synchro import unloadable
        from synchro.conf import conf
        from synchro.exceptions import WrongSetting

        try:
            unloadable.stand_in(conf.remotes if aliases is None else aliases)
        except WrongSetting:
            return  # a check tells it

    def _keep_triggers(self) -> None:
        from synchro import former, moved
        from synchro.replay.identity import former_sets
        from synchro.replay.signals import starting
        from synchro.triggers import checks, migrate, ready

        pre_migrate.connect(moved.before_migrate, sender=self, dispatch_uid="synchro_before_move")
        pre_migrate.connect(migrate.before_migrate, sender=self, dispatch_uid="synchro_before_migrate")
        post_migrate.connect(migrate.after_migrate, sender=self, dispatch_uid="synchro_after_migrate")
        # After the triggers: from now on they log what has moved under its new name.
        post_migrate.connect(moved.after_migrate, sender=self, dispatch_uid="synchro_after_move")
        starting.connect(moved.follow_setting, dispatch_uid="synchro_moved")
        starting.connect(former.refuse_former_models, dispatch_uid="synchro_former_models")
        starting.connect(
            former_sets.refuse_pairs_that_are_not_known, dispatch_uid="synchro_pairs_that_are_not_known"
        )
        starting.connect(ready.refuse_without_triggers, dispatch_uid="synchro_triggers_ready")
        starting.connect(
            ready.refuse_triggers_that_miss_changes, dispatch_uid="synchro_triggers_that_miss_changes"
        )
        checks.register()

    def _extend_pgtrigger(self) -> None:
        from synchro.triggers.pgtrigger_package import lacking

        if apps.is_installed("pgtrigger") and not lacking():
            from synchro.triggers import pgtrigger_command

            pgtrigger_command.extend()
