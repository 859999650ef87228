"""Members: signing in, certificates, who is online."""
