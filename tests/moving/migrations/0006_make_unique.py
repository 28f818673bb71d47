from django.db import migrations, models

from tests.moving.writing import between


class Migration(migrations.Migration):
    dependencies = [("moving", "0005_alter_length")]
    operations = between(
        migrations.AlterField("item", "name", models.CharField(max_length=100, unique=True)),
    )
