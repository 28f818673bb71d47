from django.db import migrations, models

from tests.moving.writing import between


class Migration(migrations.Migration):
    dependencies = [("moving", "0008_remove_field")]
    operations = between(
        migrations.RenameField("item", "labels", "marks"),
    )
