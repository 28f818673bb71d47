"""By the module of django-spicy-id: url converters."""

from __future__ import annotations

from django_spicy_id.converters import get_url_converter

__all__ = ["get_url_converter"]
