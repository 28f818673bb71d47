"""
From the tables of 0.7 to those of 1.0.

What 0.7 had replayed already is dropped from its log; what was pending stays pending. The keys of deleted objects,
which 0.7 kept as ``repr`` text, are read as the literals they are: nothing is evaluated.
"""

import ast
import json
import re
import uuid
from datetime import UTC, datetime

import django.conf
import django.db.models.deletion
from django.db import migrations, models
from django.utils import timezone, translation
from django.utils.formats import get_format

import synchro.fields

#: Calls that ``repr`` writes for values of a natural key, and how their arguments read.
CALLS = {
    "datetime": lambda *parts: datetime(*parts).isoformat(),
    "date": lambda *parts: datetime(*parts).date().isoformat(),
    "time": lambda *parts: datetime(2000, 1, 1, *parts).time().isoformat(),
    "Decimal": str,
    "UUID": str,
}

#: What Python 2 wrote and Python 3 does not read: ``5L``, and the time zone of Django's moments in UTC.
LONG = re.compile(r"('(?:[^'\\\\]|\\\\.)*'|\"(?:[^\"\\\\]|\\\\.)*\")|(?<=\d)L\b")
UTC_ZONE = re.compile(r",\s*tzinfo=(<UTC>|datetime\.timezone\.utc)\)")


def parsed(text):
    """The values of a natural key that 0.7 kept as ``repr`` text. Raises `ValueError` where they are not plain."""
    text = LONG.sub(lambda found: found.group(1) or "", text.strip())
    text = UTC_ZONE.sub(", 'UTC')", text)
    try:
        values = literal(ast.parse(text, mode="eval").body)
        return json.dumps(values if isinstance(values, list) else [values], allow_nan=False)
    except (SyntaxError, TypeError, ArithmeticError, RecursionError, MemoryError):
        raise ValueError("not the repr of plain values") from None


def literal(node):
    """The value of a parsed ``repr``, as JSON holds it. Raises `ValueError` for anything else than plain values."""
    if isinstance(node, ast.Tuple | ast.List):
        return [literal(part) for part in node.elts]
    if isinstance(node, ast.Call) and not node.keywords:
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", None)
        if name in CALLS:
            return call(name, [literal(part) for part in node.args])
    value = ast.literal_eval(node)
    if isinstance(value, str) and node.kind is None:
        return text_of_bytes(value)
    if not isinstance(value, str | int | float | bool | None):
        raise ValueError(f"{value!r} is no plain value")
    return value


def call(name, parts):
    if parts[-1:] == ["UTC"]:
        return f"{CALLS[name](*parts[:-1])}+00:00"
    return CALLS[name](*parts)


def text_of_bytes(value):
    """A text that Python 2 held as bytes was written byte by byte, in UTF-8 as Django does it."""
    try:
        return value.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return value


def drop_replayed_entries(apps, schema_editor):
    alias = schema_editor.connection.alias
    stored = kept_by_dbsettings(schema_editor.connection)
    last = moment(stored) if stored else None
    if last is not None:
        log = apps.get_model("synchro", "ChangeLog").objects.using(alias)
        apps.get_model("synchro", "DeleteKey").objects.using(alias).filter(changelog__date__lte=last).delete()
        log.filter(date__lte=last).delete()
        if schema_editor.connection.vendor == "postgresql":
            # It alters no table whose rows wait for a deferred constraint. Elsewhere this would check all tables.
            schema_editor.connection.check_constraints()


def kept_by_dbsettings(connection):
    """The checkpoint where versions before 1.0 kept it; the package itself need not be installed any more."""
    with connection.cursor() as cursor:
        if "dbsettings_setting" not in connection.introspection.table_names(cursor):
            return None
        cursor.execute(
            "SELECT value FROM dbsettings_setting WHERE module_name = 'synchro.models' "
            "AND class_name = '' AND attribute_name = 'last_check' AND value <> ''"
        )
        row = cursor.fetchone()
    return row[0] if row else None


def moment(stored):
    """
    The checkpoint as 0.7 wrote it: without a time zone, in a format of the language that was active.

    It was UTC after a run and local time after a reset, where ``USE_TZ`` is on: of both, the one that keeps more.
    """
    for read in (datetime.fromisoformat, *map(reader, formats())):
        try:
            last = read(stored)
        except ValueError:
            continue
        if timezone.is_naive(last) and django.conf.settings.USE_TZ:
            return min(timezone.make_aware(last), timezone.make_aware(last, UTC))
        return last
    print(f"\n  The checkpoint {stored!r} is not readable: all entries stay pending.")
    return None


def reader(form):
    return lambda text: datetime.strptime(text, form)


def formats():
    with translation.override(django.conf.settings.LANGUAGE_CODE):
        return get_format("DATETIME_INPUT_FORMATS")


def keep_natural_keys(apps, schema_editor):
    alias = schema_editor.connection.alias
    for kept in apps.get_model("synchro", "DeleteKey").objects.using(alias).select_related("changelog").iterator():
        entry = kept.changelog
        try:
            entry.natural_key = parsed(kept.key)
        except ValueError:
            print(f"\n  The natural key of entry {entry.pk} of content type {entry.content_type_id} is not readable and is dropped.")
            continue
        entry.save(using=alias, update_fields=["natural_key"])


def keep_moments(apps, schema_editor):
    """0.7 stored dates in the project's time zone where the database has none of its own; now it is always UTC."""
    connection = schema_editor.connection
    zone = connection.timezone or timezone.get_default_timezone()
    if connection.features.supports_timezones or zone == UTC:
        return
    for entry in apps.get_model("synchro", "ChangeLog").objects.using(connection.alias).iterator():
        aware = entry.date if timezone.is_aware(entry.date) else timezone.make_aware(entry.date)
        # The field took what is stored for UTC; it is the zone's wall clock.
        entry.date = timezone.make_aware(timezone.make_naive(aware, UTC), zone)
        entry.save(using=connection.alias, update_fields=["date"])


def name_the_node(apps, schema_editor):
    """From the start, so that a copy of this database can be told from it even if neither has synchronized yet."""
    apps.get_model("synchro", "Node").objects.using(schema_editor.connection.alias).get_or_create(pk=1)


class Migration(migrations.Migration):

    dependencies = [
        ('contenttypes', '0002_remove_content_type_name'),
        ('synchro', '0001_initial'),
    ]

    operations = [
        migrations.RunPython(drop_replayed_entries, migrations.RunPython.noop),
        migrations.AddField(
            model_name='changelog',
            name='natural_key',
            field=models.TextField(blank=True, null=True, verbose_name='natural key'),
        ),
        migrations.AddField(
            model_name='changelog',
            name='members',
            field=models.TextField(blank=True, null=True, verbose_name='members'),
        ),
        migrations.RunPython(keep_natural_keys, migrations.RunPython.noop),
        migrations.RemoveField(
            model_name='deletekey',
            name='changelog',
        ),
        migrations.DeleteModel(
            name='DeleteKey',
        ),
        # First of all, since on SQLite it builds the table anew, whoever made its unique constraint and how.
        migrations.AlterField(
            model_name='reference',
            name='id',
            field=models.BigAutoField(primary_key=True, serialize=False),
        ),
        # Before the foreign key is let go: MySQL makes an index for it here, which goes with the key.
        migrations.AlterUniqueTogether(
            name='reference',
            unique_together=set(),
        ),
        migrations.AlterField(
            model_name='reference',
            name='content_type',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='contenttypes.contenttype', verbose_name='content type'),
        ),
        migrations.CreateModel(
            name='Batch',
            fields=[
                ('number', models.BigIntegerField(primary_key=True, serialize=False)),
                ('ranges', models.TextField()),
                ('size', models.PositiveIntegerField()),
                ('formed', synchro.fields.UTCDateTimeField(default=synchro.fields.DatabaseNow)),
            ],
            options={
                'verbose_name': 'batch',
                'verbose_name_plural': 'batches',
                'default_permissions': ('view',),
            },
        ),
        migrations.CreateModel(
            name='Peer',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('uuid', models.UUIDField(null=True, unique=True, verbose_name='node')),
                ('alias', models.CharField(blank=True, max_length=255, verbose_name='alias')),
            ],
            options={
                'verbose_name': 'peer',
                'verbose_name_plural': 'peers',
                'default_permissions': ('view',),
            },
        ),
        migrations.CreateModel(
            name='Conflict',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('batch', models.BigIntegerField(verbose_name='batch')),
                ('object_id', models.TextField(verbose_name='object id')),
                ('fields', synchro.fields.NamesField(null=True, verbose_name='fields')),
                ('local_values', models.TextField(null=True, verbose_name='local values')),
                ('remote_values', models.TextField(null=True, verbose_name='remote values')),
                ('local_date', synchro.fields.UTCDateTimeField(verbose_name='local date')),
                ('remote_date', synchro.fields.UTCDateTimeField(verbose_name='remote date')),
                ('decision', models.CharField(choices=[('local', 'local'), ('remote', 'remote'), ('merged', 'merged')], max_length=6, verbose_name='decision')),
                ('date', synchro.fields.UTCDateTimeField(default=synchro.fields.DatabaseNow, verbose_name='date')),
            ],
            options={
                'verbose_name': 'conflict',
                'verbose_name_plural': 'conflicts',
                'default_permissions': ('view',),
            },
        ),
        migrations.CreateModel(
            name='Node',
            fields=[
                ('id', models.PositiveSmallIntegerField(default=1, primary_key=True, serialize=False)),
                ('uuid', models.UUIDField(default=uuid.uuid4, verbose_name='node')),
                ('highest', models.BigIntegerField(default=0)),
                ('holes', models.TextField(default='[]')),
                ('batch', models.BigIntegerField(default=0)),
                ('forgotten', models.BigIntegerField(default=0)),
                ('pruned', models.BigIntegerField(default=0)),
            ],
            options={
                'verbose_name': 'node',
                'verbose_name_plural': 'nodes',
                'default_permissions': ('view',),
            },
        ),
        migrations.AlterModelOptions(
            name='changelog',
            options={'default_permissions': ('view',), 'permissions': (('synchronize', 'Can synchronize databases'), ('reset', 'Can reset synchronization')), 'verbose_name': 'entry', 'verbose_name_plural': 'entries'},
        ),
        migrations.AlterModelOptions(
            name='reference',
            options={'default_permissions': ('view',), 'verbose_name': 'reference', 'verbose_name_plural': 'references'},
        ),
        migrations.AddField(
            model_name='changelog',
            name='fields',
            field=synchro.fields.NamesField(blank=True, null=True, verbose_name='fields'),
        ),
        migrations.AddField(
            model_name='reference',
            name='batch',
            field=models.BigIntegerField(default=0, verbose_name='batch'),
        ),
        migrations.AlterField(
            model_name='changelog',
            name='action',
            field=models.PositiveSmallIntegerField(choices=[(1, 'Addition'), (2, 'Change'), (3, 'Deletion'), (4, 'Change of related objects')], verbose_name='action'),
        ),
        migrations.AlterField(
            model_name='changelog',
            name='content_type',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='contenttypes.contenttype', verbose_name='content type'),
        ),
        migrations.AlterField(
            model_name='changelog',
            name='id',
            field=models.BigAutoField(primary_key=True, serialize=False),
        ),
        migrations.AlterField(
            model_name='changelog',
            name='object_id',
            field=models.TextField(verbose_name='object id'),
        ),
        migrations.AlterField(
            model_name='reference',
            name='local_object_id',
            field=models.CharField(max_length=255, verbose_name='local object id'),
        ),
        migrations.AlterField(
            model_name='reference',
            name='remote_object_id',
            field=models.CharField(max_length=255, verbose_name='remote object id'),
        ),
        migrations.CreateModel(
            name='Baseline',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('node', models.UUIDField(verbose_name='node')),
                ('highest', models.BigIntegerField()),
                ('content_type', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='contenttypes.contenttype', verbose_name='content type')),
            ],
            options={
                'verbose_name': 'baseline',
                'verbose_name_plural': 'baselines',
                'default_permissions': ('view',),
            },
        ),
        migrations.CreateModel(
            name='Checkpoint',
            fields=[
                ('peer', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, serialize=False, to='synchro.peer')),
                ('batch', models.BigIntegerField(default=0)),
                ('seen', models.BigIntegerField(default=0)),
                ('date', synchro.fields.UTCDateTimeField(null=True)),
            ],
            options={
                'verbose_name': 'checkpoint',
                'verbose_name_plural': 'checkpoints',
                'default_permissions': ('view',),
            },
        ),
        migrations.CreateModel(
            name='Receipt',
            fields=[
                ('peer', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, serialize=False, to='synchro.peer')),
                ('batch', models.BigIntegerField(default=0)),
                ('date', synchro.fields.UTCDateTimeField(default=synchro.fields.DatabaseNow)),
            ],
            options={
                'verbose_name': 'receipt',
                'verbose_name_plural': 'receipts',
                'default_permissions': ('view',),
            },
        ),
        migrations.AddField(
            model_name='reference',
            name='peer',
            field=models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='synchro.peer', verbose_name='peer'),
        ),
        migrations.AddConstraint(
            model_name='reference',
            constraint=models.UniqueConstraint(fields=('peer', 'content_type', 'local_object_id'), name='synchro_reference_unique'),
        ),
        migrations.AddField(
            model_name='conflict',
            name='content_type',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='contenttypes.contenttype', verbose_name='content type'),
        ),
        migrations.AddField(
            model_name='conflict',
            name='peer',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='synchro.peer', verbose_name='peer'),
        ),
        migrations.AddConstraint(
            model_name='baseline',
            constraint=models.UniqueConstraint(fields=('node', 'content_type'), name='synchro_baseline_unique'),
        ),
        migrations.AlterField(
            model_name='changelog',
            name='date',
            field=synchro.fields.UTCDateTimeField(default=synchro.fields.DatabaseNow, verbose_name='date'),
        ),
        migrations.RunPython(keep_moments, migrations.RunPython.noop),
        migrations.RunPython(name_the_node, migrations.RunPython.noop),
    ]
