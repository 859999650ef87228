"""Who: sign-in, sessions, roles, row scope, headers and what keeps Flask-AppBuilder in bounds."""
