import synchro.fields
from django.db import migrations, models
from django.db.migrations.operations.base import Operation

#: As `synchro.key_ranges` had them when this was written.
BLOCK, SHORTEST, SINGLE = 512, 8, -1
FORMER = "synchro_reference_former"
AT_ONCE = 5000
#: Whole numbers of 64 bits, spelled as `str` spells them, but for the very highest ones.
WHOLE = r"^(0|-?([1-9][0-9]{0,17}|[1-8][0-9]{18}|9[01][0-9]{17}|92[01][0-9]{16}))$"

#: The former rows with whole numbers, and the length and the first key of what follows each other on both sides. Of keys
#: that are negative or very high, whose differences no whole number may hold, each stands alone.
ROWS = """
    SELECT id, peer_id, content_type_id, batch, own, other, block,
        COUNT(*) OVER island AS length, MIN(own) OVER island AS first
    FROM (
        SELECT id, peer_id, content_type_id, batch, own, other, block, apart,
            CASE WHEN block >= 0 THEN own - CAST(
                ROW_NUMBER() OVER (PARTITION BY peer_id, content_type_id, batch, apart ORDER BY own) AS {whole}
            ) END AS place
        FROM (
            SELECT id, peer_id, content_type_id, batch, own, other,
                CASE WHEN own BETWEEN 0 AND {high} AND other BETWEEN 0 AND {high}
                    THEN own - own % {block} ELSE -1 END AS block,
                CASE WHEN own BETWEEN 0 AND {high} AND other BETWEEN 0 AND {high}
                    THEN other - own END AS apart
            FROM (
                SELECT id, peer_id, content_type_id, batch, CAST(local_object_id AS {whole}) AS own,
                    CAST(remote_object_id AS {whole}) AS other
                FROM {former}
            ) AS spelled
        ) AS compared
    ) AS numbered
    WINDOW island AS (PARTITION BY peer_id, content_type_id, batch, block, apart, place)
"""
#: A range for each island that is long enough; the other rows as they are.
COPY = """
    INSERT INTO {table} (peer_id, content_type_id, batch, block, local_object_id, remote_object_id, length)
    SELECT peer_id, content_type_id, batch, CASE WHEN is_range THEN block ELSE {single} END, own, other,
        CASE WHEN is_range THEN length ELSE 1 END
    FROM (
        SELECT counted.*, block >= 0 AND length >= {shortest} AS is_range FROM ({rows}) AS counted
    ) AS found
    WHERE NOT is_range OR own = first
    ORDER BY id
"""


class StoreRanges(Operation):
    """
    Make the table of references anew, with ranges, from what it has.

    On servers whose changes of tables are no transactions it can be done again after it was interrupted.
    """

    reduces_to_sql = False

    def __init__(self, state_operations):
        self.state_operations = state_operations

    def deconstruct(self):
        return type(self).__name__, [], {"state_operations": self.state_operations}

    def describe(self):
        return "Store references that follow each other as ranges"

    def state_forwards(self, app_label, state):
        for operation in self.state_operations:
            operation.state_forwards(app_label, state)

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        former, model = (state.apps.get_model(app_label, "Reference") for state in (from_state, to_state))
        _replace(schema_editor, former, model, _copy_as_ranges)

    def database_backwards(self, app_label, schema_editor, from_state, to_state):
        former, model = (state.apps.get_model(app_label, "Reference") for state in (from_state, to_state))
        _replace(schema_editor, former, model, _copy_one_by_one)


def _replace(schema_editor, former, model, copy):
    """Rename the table, make it anew, copy what it has, and drop the former one."""
    connection = schema_editor.connection
    table, quote = model._meta.db_table, schema_editor.quote_name
    with connection.cursor() as cursor:
        present = connection.introspection.table_names(cursor)
        columns = (
            {column.name for column in connection.introspection.get_table_description(cursor, table)}
            if table in present
            else set()
        )
    if FORMER not in present:
        if {field.column for field in model._meta.local_fields} == columns:
            return  # interrupted when all was done
        (constraint,) = former._meta.constraints
        if connection.vendor == "postgresql":  # where its name would be taken
            schema_editor.remove_constraint(former, constraint)
        _rename(schema_editor, table, FORMER)
    elif table in present:
        schema_editor.execute(schema_editor.sql_delete_table % {"table": quote(table)})
    schema_editor.create_model(model)
    while schema_editor.deferred_sql:
        schema_editor.execute(schema_editor.deferred_sql.pop(0), None)
    former._meta.db_table = FORMER
    try:
        copy(schema_editor, former, model)
    finally:
        former._meta.db_table = table
    schema_editor.execute(schema_editor.sql_delete_table % {"table": quote(FORMER)})


def _rename(schema_editor, old, new):
    quote = schema_editor.quote_name
    schema_editor.execute(schema_editor.sql_rename_table % {"old_table": quote(old), "new_table": quote(new)})


def _copy_as_ranges(schema_editor, former, model):
    connection, quote = schema_editor.connection, schema_editor.quote_name
    alias = connection.alias
    # Earlier releases noted other keys too, which no release since has looked for.
    rows = former.objects.using(alias)
    others = rows.exclude(local_object_id__regex=WHOLE) | rows.exclude(remote_object_id__regex=WHOLE)
    gone = [
        pk
        for pk, *keys in others.values_list("id", "local_object_id", "remote_object_id").iterator()
        if not all(map(_is_whole, keys))
    ]
    for start in range(0, len(gone), AT_ONCE):
        rows.filter(pk__in=gone[start : start + AT_ONCE])._raw_delete(alias)
    whole = models.BigIntegerField().cast_db_type(connection)
    rows_sql = ROWS.format(block=BLOCK, high=2**62, whole=whole, former=quote(FORMER))
    sql = COPY.format(table=quote(model._meta.db_table), rows=rows_sql, shortest=SHORTEST, single=SINGLE)
    with connection.cursor() as cursor:
        cursor.execute(sql)


def _is_whole(text):
    try:
        return str(int(text)) == text and -(2**63) <= int(text) < 2**63
    except ValueError:
        return False


def _copy_one_by_one(schema_editor, former, model):
    alias, part = schema_editor.connection.alias, []
    for row in former.objects.using(alias).order_by("length", "id").iterator():
        for step in range(row.length):
            own, other = int(row.local_object_id) + step, int(row.remote_object_id) + step
            part.append(
                model(
                    peer_id=row.peer_id, content_type_id=row.content_type_id, batch=row.batch,
                    local_object_id=str(own), remote_object_id=str(other),
                )
            )  # fmt: skip
        if len(part) >= AT_ONCE:
            model.objects.using(alias).bulk_create(part, batch_size=AT_ONCE, ignore_conflicts=True)
            part = []
    model.objects.using(alias).bulk_create(part, batch_size=AT_ONCE, ignore_conflicts=True)


class Migration(migrations.Migration):
    dependencies = [
        ("synchro", "0018_jobs"),
    ]

    operations = [
        StoreRanges(
            state_operations=[
                migrations.RemoveConstraint(
                    model_name="reference",
                    name="synchro_reference_unique",
                ),
                migrations.AddField(
                    model_name="reference",
                    name="block",
                    field=models.BigIntegerField(db_default=-1, default=-1),
                ),
                migrations.AddField(
                    model_name="reference",
                    name="length",
                    field=models.IntegerField(db_default=1, default=1, verbose_name="number of objects"),
                ),
                migrations.AlterField(
                    model_name="reference",
                    name="local_object_id",
                    field=synchro.fields.WholeKeyField(verbose_name="local object id"),
                ),
                migrations.AlterField(
                    model_name="reference",
                    name="remote_object_id",
                    field=synchro.fields.WholeKeyField(verbose_name="remote object id"),
                ),
                migrations.AddConstraint(
                    model_name="reference",
                    constraint=models.UniqueConstraint(
                        fields=("peer", "content_type", "block", "local_object_id"),
                        name="synchro_reference_unique",
                    ),
                ),
            ],
        ),
    ]
