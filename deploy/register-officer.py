"""Register an officer or administrator of the registry, and print the first password once.

For a new installation, which has nobody who could sign in; run it from the project's folder:

    sudo deploy/python deploy/register-officer.py S0002 "安全管理员 张三" security_admin
"""

from __future__ import annotations

import sys
from pathlib import Path

import click
from sqlalchemy.exc import IntegrityError

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from app import create_app
from app.domain.errors import RuleError
from app.extensions import transaction
from app.operations import log
from app.operations.actor import SYSTEM
from app.security import members
from app.security.roles import ROLES

OFFICERS = [role.code for role in ROLES.values() if role.scope == "all"]


@click.command()
@click.argument("number")
@click.argument("name")
@click.argument("role", type=click.Choice(OFFICERS))
def register(number: str, name: str, role: str) -> None:
    """Register one; the password has to be changed at the first sign-in."""
    with create_app().app_context():
        try:
            with transaction():
                member_id = members.register_member(number, name, "", role)
                _member, password = members.reset_password(member_id)
                log.record(SYSTEM, "member.register", subject=number, role=role)
        except RuleError as error:
            raise click.ClickException(str(error)) from error
        except IntegrityError as error:
            raise click.ClickException(f"{number} is registered already") from error
    click.echo(f"{number}\t{password}")


if __name__ == "__main__":
    register()
