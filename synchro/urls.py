from __future__ import annotations

from django.urls import path

from synchro import views

app_name = "synchro"
urlpatterns = [
    path("", views.synchro, name="synchro"),
    path("reset/", views.reset, name="reset"),
]
