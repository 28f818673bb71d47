"""Tables of every shape, for the tests of capture by triggers."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models

from synchro.core import NaturalManager

ENGINE = settings.DATABASES["default"]["ENGINE"].rsplit(".", 1)[1]
#: The tables are made on both sides.
ENGINES = {entry["ENGINE"].rsplit(".", 1)[1] for entry in settings.DATABASES.values()}


class Tag(models.Model):
    slug = models.CharField(max_length=50, unique=True)
    since = models.DateField(null=True)

    objects = NaturalManager("slug", "since")


class Article(models.Model):
    """A column of every type."""

    SYNCHRO_SKIP = ("views",)

    title = models.CharField(max_length=200, default="")
    body = models.TextField(null=True)
    number = models.IntegerField(null=True, db_column="Its Number")
    price = models.DecimalField(max_digits=12, decimal_places=2, null=True)
    ratio = models.FloatField(null=True)
    public = models.BooleanField(null=True)
    day = models.DateField(null=True)
    moment = models.DateTimeField(null=True)
    hour = models.TimeField(null=True)
    lasts = models.DurationField(null=True)
    data = models.JSONField(null=True)
    blob = models.BinaryField(null=True)
    token = models.UUIDField(null=True)
    address = models.GenericIPAddressField(null=True)
    parent = models.ForeignKey("self", models.CASCADE, null=True)
    views = models.IntegerField(default=0)
    tags = models.ManyToManyField(Tag)


class Place(models.Model):
    name = models.CharField(max_length=50)


class Restaurant(Place):
    stars = models.IntegerField(default=0)


class ByUUID(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    name = models.CharField(max_length=50, default="")


class ByText(models.Model):
    code = models.CharField(max_length=255, primary_key=True)
    name = models.CharField(max_length=50, default="")


class ByDate(models.Model):
    day = models.DateField(primary_key=True)
    name = models.CharField(max_length=50, default="")


class ByMoment(models.Model):
    moment = models.DateTimeField(primary_key=True)
    name = models.CharField(max_length=50, default="")


class ByTime(models.Model):
    hour = models.TimeField(primary_key=True)
    name = models.CharField(max_length=50, default="")


class ByDuration(models.Model):
    lasts = models.DurationField(primary_key=True)
    name = models.CharField(max_length=50, default="")


class ByDecimal(models.Model):
    number = models.DecimalField(max_digits=12, decimal_places=3, primary_key=True)
    name = models.CharField(max_length=50, default="")


class ByAddress(models.Model):
    address = models.GenericIPAddressField(primary_key=True)
    name = models.CharField(max_length=50, default="")


class ByParent(models.Model):
    """Its key is a foreign key."""

    parent = models.OneToOneField(ByUUID, models.CASCADE, primary_key=True)
    name = models.CharField(max_length=50, default="")


class ByThree(models.Model):
    pk = models.CompositePrimaryKey("tenant", "code", "token")
    tenant = models.IntegerField()
    code = models.CharField(max_length=100)
    token = models.UUIDField()
    name = models.CharField(max_length=50, default="")


class Moments(models.Model):
    """Its natural key is made of values that JSON has no type for."""

    day = models.DateField()
    moment = models.DateTimeField()
    price = models.DecimalField(max_digits=8, decimal_places=2)
    token = models.UUIDField()
    tag = models.ForeignKey(Tag, models.CASCADE, null=True)
    public = models.BooleanField(default=False)

    objects = NaturalManager("day", "moment", "price", "token", "tag", "public")


class Unique(models.Model):
    code = models.CharField(max_length=50, unique=True)
    name = models.CharField(max_length=50, default="")


if "mysql" not in ENGINES:  # which has no key of unlimited length

    class ByBytes(models.Model):
        code = models.BinaryField(primary_key=True)
        name = models.CharField(max_length=50, default="")


if hasattr(models, "DB_CASCADE"):

    class Shelf(models.Model):
        """Not watched itself where the tests say so."""

        name = models.CharField(max_length=50, default="")

    class Folder(models.Model):
        shelf = models.ForeignKey(Shelf, models.DB_CASCADE, null=True)
        inside = models.ForeignKey("self", models.DB_CASCADE, null=True)
        name = models.CharField(max_length=50, default="")

    class File(models.Model):
        token = models.UUIDField(primary_key=True, default=uuid.uuid4)
        folder = models.ForeignKey(Folder, models.DB_CASCADE)
        slug = models.CharField(max_length=50, default="")

        objects = NaturalManager("slug")

    class Remark(models.Model):
        file = models.ForeignKey(File, models.DB_SET_NULL, null=True)
        text = models.CharField(max_length=50, default="")


LONG = "capture_a_table_whose_name_is_as_long_as_postgresql_allows_here"
assert len(LONG) == 63

ODD_NAMES = {
    "Blank": "capture odd table",
    "Upper": "Capture_UPPER",
    "Quote": "capture it's '' odd"
    if "mysql" in ENGINES and len(ENGINES) > 1
    else {"mysql": "capture`` it's `` `` \" odd"}.get(ENGINE, "capture\"\" it's '' ` odd"),
    "Long": LONG,
    "LongToo": LONG[:-1] + "y",
    "Longest": LONG[:-1] + "z" if "postgresql" in ENGINES else LONG + "z",
    "Comment": "capture */ -- odd $synchro$ \\ ; é",
}


class Odd(models.Model):
    code = models.CharField(max_length=50, db_column="its 'code' */")
    other = models.CharField(max_length=50, default="", db_column="Other\\ $synchro$")

    class Meta:
        abstract = True


class OddKey(models.Model):
    code = models.CharField(max_length=50, primary_key=True, db_column="its \\n 'key'")
    name = models.CharField(max_length=50, default="")

    objects = NaturalManager("code")


for _name, _table in ODD_NAMES.items():
    _meta = type("Meta", (), {"db_table": _table, "app_label": "capture"})
    globals()[_name] = type(_name, (Odd,), {"Meta": _meta, "__module__": __name__})
