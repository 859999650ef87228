"""Form, list, desk, review and signing page shared by all kinds of application."""
