from __future__ import annotations

from django.apps import AppConfig


class OpenTelemetryConfig(AppConfig):
    name = "synchro.contrib.opentelemetry"
    label = "synchro_opentelemetry"

    def ready(self) -> None:
        from synchro.contrib.opentelemetry import spans

        spans.connect()
