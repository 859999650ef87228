"""Members: registration, passwords, sessions, certificates and their letters."""
