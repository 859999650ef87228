"""Where `flask` and WSGI servers find the application's factory."""

from app.web import create_app

__all__ = ["create_app"]
