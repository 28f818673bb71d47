"""By the module of django-spicy-id: the patch for REST framework."""

from __future__ import annotations

from django_spicy_id.drf import monkey_patch_drf

__all__ = ["monkey_patch_drf"]
