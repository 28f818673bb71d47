"""Links to the objects that entries, conflicts and changes in quarantine are about."""

from __future__ import annotations

from django.contrib.admin.utils import quote
from django.core.exceptions import ValidationError
from django.db.models import Model
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html

from synchro.conf import LOCAL
from synchro.describe import NO_KEY
from synchro.keys import from_text, key_fields
from synchro.replay.session import Database


def admin_url(model: type[Model], text: str) -> str | None:
    """Return the admin's page of the object with this key as text; None where it has none."""
    try:
        key = from_text(model, text)
        if isinstance(key, tuple):
            return None
        value = key_fields(model)[0].to_python(key)
        return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_change", args=(quote(value),))
    except (NoReverseMatch, ValidationError, *NO_KEY):
        return None


def object_link(content_type_id: int, text: str) -> str:
    """Return the key, as a link to the object where the admin has a page for it."""
    model = Database(LOCAL).model_of(content_type_id)
    url = None if model is None else admin_url(model, text)
    return text if url is None else format_html('<a href="{}">{}</a>', url, text)
