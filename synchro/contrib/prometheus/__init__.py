"""Metrics for Prometheus. Needs ``prometheus-client``, by ``pip install "django-synchro[metrics]"``."""
