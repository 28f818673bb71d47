from django.db import migrations, models

from tests.moving.writing import between


class Migration(migrations.Migration):
    dependencies = [("moving", "0014_longer_key")]
    operations = between(
        migrations.RunSQL(
            "ALTER TABLE moving_part ADD COLUMN raw integer NULL", "ALTER TABLE moving_part DROP COLUMN raw"
        ),
    )
