from django.db import migrations, models

from tests.moving.writing import between


class Migration(migrations.Migration):
    dependencies = [("moving", "0002_add_nullable")]
    operations = between(
        migrations.AddField("item", "count", models.IntegerField(default=5)),
    )
