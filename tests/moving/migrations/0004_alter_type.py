from django.db import migrations, models

from tests.moving.writing import between


class Migration(migrations.Migration):
    dependencies = [("moving", "0003_add_with_default")]
    operations = between(
        migrations.AlterField("item", "price", models.DecimalField(max_digits=9, decimal_places=2, default=0)),
    )
