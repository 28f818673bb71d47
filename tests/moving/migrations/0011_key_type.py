from django.db import migrations, models

from tests.moving.writing import between


class Migration(migrations.Migration):
    dependencies = [("moving", "0010_rename_model")]
    operations = between(
        migrations.AlterField("product", "id", models.BigAutoField(primary_key=True, serialize=False)),
    )
