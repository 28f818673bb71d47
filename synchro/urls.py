from __future__ import annotations

from django.urls import path

from synchro.views import dashboard, jobs, reset

app_name = "synchro"
urlpatterns = [
    path("", dashboard.synchro, name="synchro"),
    path("state/", dashboard.state, name="state"),
    path("series/", dashboard.series, name="series"),
    path("start/", jobs.start, name="start"),
    path("jobs/<int:number>/", jobs.job, name="job"),
    path("jobs/<int:number>/stop/", jobs.stop, name="stop"),
    path("reset/", reset.reset, name="reset"),
]
