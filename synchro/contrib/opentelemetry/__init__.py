"""Spans for OpenTelemetry. Needs ``opentelemetry-api``, by ``pip install "django-synchro[tracing]"``."""
