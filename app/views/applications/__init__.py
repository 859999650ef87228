"""The one form, list, desk, review and signing page of every kind of application."""
