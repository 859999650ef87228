"""Posting, day-end settlement, and verification of the ledger."""
