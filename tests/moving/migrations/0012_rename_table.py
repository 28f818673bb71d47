from django.db import migrations, models

from tests.moving.writing import between


class Migration(migrations.Migration):
    dependencies = [("moving", "0011_key_type")]
    operations = between(
        migrations.AlterModelTable("product", "moved_products"),
    )
