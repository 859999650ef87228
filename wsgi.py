"""The entry point for `flask`, which reports in one line why it does not start."""

from __future__ import annotations

import click
from flask import Flask
from sqlalchemy.exc import OperationalError

from app import web
from app.embedded import EmbeddedDatabaseError
from config import ConfigurationError


def create_app() -> Flask:
    """Make the application for the environment's settings."""
    try:
        return web.create_app()
    except (ConfigurationError, EmbeddedDatabaseError) as error:
        raise click.ClickException(str(error)) from error
    except OperationalError as error:
        raise click.ClickException(str(web.no_answer(error))) from error
