"""Sign-in, sessions, roles, row scope, response headers, and our subclasses of Flask-AppBuilder."""
