from django.db import migrations, models

from tests.moving.writing import between


class Migration(migrations.Migration):
    dependencies = [("moving", "0001_initial")]
    operations = between(
        migrations.AddField("item", "extra", models.CharField(max_length=20, null=True)),
    )
