"""Commands of Flask and other libraries: refused, except a few for development.

They bypass rules and log: `flask fab reset-password` accepted a password of one letter
(docs/adr/0047).
"""

from __future__ import annotations

import click
from flask import Flask
from flask.cli import FlaskGroup

from config import refusal

# Allowed outside production.
NEEDED = ("run", "shell", "routes", "db revision", "db current", "db heads", "db history")
INSTEAD = {
    "run": "python app.py",
    "db revision": "make migration",
    "db migrate": "make migration",
    "db upgrade": "flask init",
    "fab create-db": "flask init",
    "fab create-permissions": "flask init",
    "fab import-roles": "flask init",
    "fab security-cleanup": "flask init",
    "fab security-converge": "flask init",
    "fab create-admin": "flask add-member",
    "fab create-user": "flask add-member",
    "fab reset-password": "flask add-member",
}


def refuse_foreign(app: Flask) -> None:
    """Refuse the running command, and those registered with the application, unless allowed.

    Flask finds libraries' commands without the application, so they cannot be replaced; but a
    command that uses the database loads the application and hence runs this.
    """
    allowed = () if app.config["SETTINGS"].is_production else NEEDED
    path = _running()
    if path and path not in allowed:
        raise _refusal(path)
    added = app.cli.commands["db"]
    assert isinstance(added, click.Group)
    commands = {
        name: command if f"db {name}" in allowed else _refused(f"db {name}")
        for name, command in added.commands.items()
    }
    app.cli.add_command(click.Group("db", commands, help=added.help))


def _running() -> str:
    """Return the name of the running `flask` command."""
    context = click.get_current_context(silent=True)
    if context is None or not isinstance(context.find_root().command, FlaskGroup):
        return ""
    words: list[str] = []
    while context.parent:
        words.insert(0, context.info_name or "")
        context = context.parent
    return " ".join(words)


def _refused(path: str) -> click.Command:
    """Return a command that refuses, whatever its arguments."""

    def refuse(arguments: tuple[str, ...]) -> None:
        raise _refusal(path)

    return click.Command(
        path.rpartition(" ")[2],
        callback=refuse,
        params=[click.Argument(["arguments"], nargs=-1)],
        context_settings={"ignore_unknown_options": True},
        hidden=True,
    )


def _refusal(path: str) -> click.ClickException:
    instead = INSTEAD.get(path, "flask --help")
    told = refusal(f"本系统不用 flask {path}，请用 {instead}", f"use {instead}, not flask {path}")
    return click.ClickException(str(told))
