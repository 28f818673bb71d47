from django.db import migrations, models

from tests.moving.writing import between


class Migration(migrations.Migration):
    dependencies = [("moving", "0012_rename_table")]
    operations = between(
        migrations.RenameField("thing", "code", "sku"),
    )
