"""Accounts: details, openings, restrictions, links and operators."""
