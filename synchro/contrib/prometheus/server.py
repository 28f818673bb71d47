"""A server of metrics within a process that has none: ``synchronize --follow --metrics-port``."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import connections
from prometheus_client import REGISTRY, start_http_server
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from synchro.contrib.prometheus import metrics


class MetricsServer:
    """Answers on ``http://address:port/metrics`` until its ``with`` block is left; `OSError` where it cannot begin."""

    def __init__(self, port: int, address: str) -> None:
        metrics.connect()
        self._server, self._thread = start_http_server(port, address, _Closing())

    def __enter__(self) -> MetricsServer:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Closing(Collector):
    """The default registry, which leaves no connection to a database open: each scrape has a thread of its own."""

    def collect(self) -> Iterable[Metric]:
        try:
            yield from REGISTRY.collect()
        finally:
            connections.close_all()
