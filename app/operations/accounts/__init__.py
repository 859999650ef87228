"""Accounts: details, openings, restrictions and links, the operators of an enterprise."""
