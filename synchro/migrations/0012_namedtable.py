from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("synchro", "0011_peer_met")]
    operations = [
        migrations.CreateModel(
            name="NamedTable",
            fields=[
                ("content_type", models.BigIntegerField(primary_key=True, serialize=False)),
                ("app_label", models.CharField(max_length=100)),
                ("model", models.CharField(max_length=100)),
                ("db_table", models.CharField(max_length=255)),
                ("successor", models.BigIntegerField(null=True)),
            ],
            options={"default_permissions": ()},
        ),
    ]
