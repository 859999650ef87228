"""The entry point for `flask`, which reports invalid settings in one line."""

from __future__ import annotations

import click
from flask import Flask

from app import web
from app.embedded import EmbeddedDatabaseError
from config import ConfigurationError


def create_app() -> Flask:
    """Make the application for the environment's settings."""
    try:
        return web.create_app()
    except (ConfigurationError, EmbeddedDatabaseError) as error:
        raise click.ClickException(str(error)) from error
