from django.db import migrations, models

from tests.moving.writing import between


class Migration(migrations.Migration):
    dependencies = [("moving", "0015_raw_sql")]
    operations = between(
        migrations.RunSQL(
            "ALTER TABLE moving_part DROP COLUMN raw", "ALTER TABLE moving_part ADD COLUMN raw integer NULL"
        ),
    )
