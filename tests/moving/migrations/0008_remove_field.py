from django.db import migrations, models

from tests.moving.writing import between


class Migration(migrations.Migration):
    dependencies = [("moving", "0007_rename_field")]
    operations = between(
        migrations.RemoveField("item", "price"),
    )
