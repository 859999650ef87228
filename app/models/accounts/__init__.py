"""Accounts: classes, succession, bankruptcy, consents within groups."""
