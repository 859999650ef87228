"""django-hordak, a widely used ledger, in a database of its own in the same cluster."""

from __future__ import annotations

import random
from collections.abc import Callable

import psycopg

from app import embedded
from bench.world import World

ACCOUNTS = 500
DATABASE = "hordak"


def install(world: World) -> None:
    """Configure Django, create the schema and some accounts."""
    world.cluster.create_database(DATABASE)
    parts = psycopg.conninfo.conninfo_to_dict(
        world.cluster.url(embedded.OWNER, DATABASE).replace("+psycopg", "")
    )
    import django
    from django.conf import settings

    settings.configure(
        INSTALLED_APPS=["django.contrib.contenttypes", "mptt", "hordak"],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": DATABASE,
                "USER": parts["user"],
                "PASSWORD": parts["password"],
                "HOST": parts["host"],
                "PORT": parts["port"],
            }
        },
        CURRENCIES=["EUR"],
        DEFAULT_CURRENCY="EUR",
        HORDAK_CURRENCIES=["EUR"],
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        USE_TZ=True,
        SECRET_KEY="bench",
    )
    django.setup()
    from django.core.management import call_command
    from django.db import connection
    from hordak.models import Account

    call_command("migrate", verbosity=0)
    for number in range(ACCOUNTS):
        Account.objects.create(name=str(number), type="AS", currencies=["EUR"])
    connection.close()  # each client opens its own


def transfers(number: int) -> Callable[[], object]:
    """Return hordak's transfer between two accounts, which does not check the balance."""
    from django.db import transaction
    from hordak.models import Account
    from moneyed import Money

    chance = random.Random(number)
    accounts = list(Account.objects.all())

    def transfer() -> None:
        source, target = chance.sample(accounts, 2)
        with transaction.atomic():
            source.transfer_to(target, Money(chance.randint(1, 100), "EUR"))

    return transfer
