from django.db import migrations, models

from tests.moving.writing import between


class Migration(migrations.Migration):
    dependencies = [("moving", "0013_rename_key")]
    operations = between(
        migrations.AlterField("thing", "sku", models.CharField(max_length=40, primary_key=True, serialize=False)),
    )
