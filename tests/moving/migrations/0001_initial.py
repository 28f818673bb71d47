from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True
    dependencies = []
    operations = [
        migrations.CreateModel("Label", [("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")), ("name", models.CharField(max_length=20))]),
        migrations.CreateModel(
            "Item",
            [
                ("id", models.AutoField(primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=50)),
                ("price", models.IntegerField(default=0)),
                ("note", models.CharField(max_length=20, default="")),
                ("labels", models.ManyToManyField("moving.Label")),
            ],
        ),
        migrations.CreateModel(
            "Thing",
            [("code", models.CharField(max_length=20, primary_key=True, serialize=False)), ("name", models.CharField(max_length=20, default=""))],
        ),
        migrations.CreateModel(
            "Part",
            [
                ("thing", models.OneToOneField(to="moving.Thing", on_delete=models.CASCADE, primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=20, default="")),
            ],
        ),
    ]
