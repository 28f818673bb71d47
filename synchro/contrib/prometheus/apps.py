from __future__ import annotations

from django.apps import AppConfig


class PrometheusConfig(AppConfig):
    name = "synchro.contrib.prometheus"
    label = "synchro_prometheus"

    def ready(self) -> None:
        from synchro.contrib.prometheus import metrics

        metrics.connect()
