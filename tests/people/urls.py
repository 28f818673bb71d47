"""With the editor of dbsettings, for the tests of the checkpoint."""

from __future__ import annotations

from dbsettings.views import site_settings
from django.urls import path

from tests.urls import urlpatterns as shared

urlpatterns = [*shared, path("settings/", site_settings)]
