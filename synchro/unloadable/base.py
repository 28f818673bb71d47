"""Where Django looks for the engine `synchro.unloadable`."""

from __future__ import annotations

from typing import Any, NoReturn

from django.db.backends.dummy import base

from synchro.exceptions import WrongSetting
from synchro.unloadable import in_words


class DatabaseWrapper(base.DatabaseWrapper):
    """Can be asked what checks ask, and can do nothing."""

    display_name = "no database"

    def complain(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise WrongSetting(in_words(self.alias))

    ensure_connection = _cursor = _commit = _savepoint_commit = _set_autocommit = complain
