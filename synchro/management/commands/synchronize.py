from __future__ import annotations

from django.core.management.base import BaseCommand


class Command(BaseCommand):
    help = "Replays what was captured on LOCAL into REMOTE."
