"""What the company itself writes down. Each database has keys of its own, which references tie together."""

from __future__ import annotations

from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.urls import reverse

from django_spicy_id import SpicyBigAutoField
from world.models import Language, Subdivision


class Branch(models.Model):
    name = models.CharField(max_length=100)
    place = models.ForeignKey(Subdivision, models.CASCADE)
    languages = models.ManyToManyField(Language, blank=True)
    staff = models.PositiveIntegerField(default=1)

    class Meta:
        verbose_name_plural = "branches"

    def __str__(self) -> str:
        return self.name


class Order(models.Model):
    """Taken on either side at any time, so its id is drawn at random, and the same in both databases."""

    id = SpicyBigAutoField("ord", randomize=True, primary_key=True)
    branch = models.ForeignKey(Branch, models.CASCADE)
    what = models.CharField(max_length=100)

    def __str__(self) -> str:
        return f"{self.id}: {self.what}"

    def get_absolute_url(self) -> str:
        return reverse("order", args=[self.id])


class Note(models.Model):
    """On any object."""

    content_type = models.ForeignKey(ContentType, models.CASCADE)
    object_id = models.PositiveBigIntegerField()
    target = GenericForeignKey()
    text = models.TextField()
    written = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.text
