"""All commands: ours, those of libraries that developers need, and the rest, which are refused."""

from __future__ import annotations

import contextvars
from dataclasses import replace

import click
import pytest
from click.testing import CliRunner, Result
from flask import Flask
from flask.cli import FlaskGroup, ScriptInfo
from sqlalchemy import func, select

from app.extensions import db
from app.foreign_commands import INSTEAD, NEEDED
from app.models import Member
from app.web import create_app

OURS = """
    init seed demo-logins add-member audit-day issue-codes clock settle-day exchange-transfer seal
    verify-ledger worker sweep-files publish-crl export-evidence seal-log log-head verify-log
    verify-installation rotate-personal-data new
""".split()
REFUSED = [
    *(f"fab {name}" for name in """
        create-admin create-user reset-password create-db export-roles import-roles version
        security-cleanup security-converge create-permissions list-views list-users""".split()),
    *(f"db {name}" for name in """
        list-templates init migrate edit merge upgrade downgrade show branches stamp check""".split()),
]  # fmt: skip
# They load no application, so that it cannot refuse them, and no database: they write source files.
WITHOUT_APPLICATION = [
    f"fab {name}"
    for name in ("create-app", "create-addon", "collect-static", "babel-extract", "babel-compile")
]
# Flask-Limiter's own end by themselves where `rich`, which we do not ask for, is not installed.
LIMITER = [f"limiter {name}" for name in ("config", "limits", "clear")]
ARGUMENTS = {
    "fab create-user": ["--role", "security_admin", "--username", "X0001", "--firstname", "x",
                        "--lastname", "x", "--email", "x@x.cn", "--password", "a"],
    "fab create-admin": ["--username", "X0001", "--firstname", "x", "--lastname", "x", "--email",
                         "x@x.cn", "--password", "a"],
    "fab reset-password": ["--username", "R0001", "--password", "a"],
    "fab import-roles": ["--path", __file__],
    "fab security-converge": [],
    "db revision": ["--autogenerate"],
    "db downgrade": ["base"],
}  # fmt: skip


def paths(command: click.Command, *before: str) -> list[str]:
    """Return the words of every command below one."""
    if not isinstance(command, click.Group):
        return [" ".join(before)]
    return [
        path for name, below in command.commands.items() for path in paths(below, *before, name)
    ]


def flask(app: Flask, *arguments: str) -> Result:
    """Run `flask` as the shell does: no application exists before a command loads it."""
    settings = app.config["SETTINGS"]
    information = ScriptInfo(create_app=lambda: create_app(settings))
    run = contextvars.Context().run
    done = run(CliRunner().invoke, FlaskGroup(), list(arguments), obj=information)
    if loaded := information._loaded_app:
        with loaded.app_context():
            db.engine.dispose()
    return done


def test_every_command_is_ours_or_judged(app):
    group = FlaskGroup()
    group._load_plugin_commands()
    found = [*paths(group), *paths(app.cli)]
    assert sorted(found) == sorted([*OURS, *NEEDED, *REFUSED, *LIMITER, *WITHOUT_APPLICATION])
    assert set(INSTEAD) <= {*NEEDED, *REFUSED}


@pytest.mark.parametrize("path", REFUSED)
def test_what_writes_past_us_is_refused_and_changes_nothing(app, path):
    done = flask(app, *path.split(), *ARGUMENTS.get(path, []))
    assert done.exit_code == 1, done.output
    instead = INSTEAD.get(path, "flask --help")
    assert done.output.startswith(f"Error: 本系统不用 flask {path}，请用 {instead}。")
    assert db.session.scalar(select(func.count()).select_from(Member)) == 0


@pytest.mark.parametrize("path", LIMITER)
def test_the_limiter_has_no_commands_here(app, path):
    done = flask(app, *path.split())
    assert done.exit_code == 1
    assert "Missing dependencies" in done.output or f"本系统不用 flask {path}" in done.output


@pytest.mark.parametrize("path", WITHOUT_APPLICATION)
def test_commands_that_cannot_be_refused_load_no_application(path):
    group = FlaskGroup()
    group._load_plugin_commands()
    name, below = path.split()
    callback = group.commands[name].commands[below].callback
    # `with_appcontext` wraps what it gives the application to.
    assert not hasattr(callback, "__wrapped__")
    assert "current_app" not in callback.__code__.co_names


def test_developers_see_the_routes_and_production_does_not(app, monkeypatch):
    assert "HomeView.index" in flask(app, "routes").output
    settings = replace(app.config["SETTINGS"], profile="production")
    monkeypatch.setitem(app.config, "SETTINGS", settings)
    monkeypatch.setattr("app.security.production.check_before_serving", lambda *_: None)
    for path in NEEDED:
        done = flask(app, *path.split())
        assert (done.exit_code, "本系统不用 flask" in done.output) == (1, True), done.output


def test_ours_are_not_taken_for_foreign(app):
    assert flask(app, "clock").exit_code == 0
