from django.db import migrations, models

from tests.moving.writing import between


class Migration(migrations.Migration):
    dependencies = [("moving", "0006_make_unique")]
    operations = between(
        migrations.RenameField("item", "note", "remark"),
    )
