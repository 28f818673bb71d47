from django.db import migrations, models

from tests.moving.writing import between


class Migration(migrations.Migration):
    dependencies = [("moving", "0009_rename_m2m")]
    operations = between(
        migrations.RenameModel("Item", "Product"),
    )
