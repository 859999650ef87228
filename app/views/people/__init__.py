"""Members: sign-in, certificates, sessions."""
