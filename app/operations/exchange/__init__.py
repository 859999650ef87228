"""Transfers requested by the exchange, and instruments."""
