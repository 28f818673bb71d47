"""What tests of synchronizing share."""

from tests.replay.conftest import _fresh_content_types  # noqa: F401
