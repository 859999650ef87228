"""Trades, money and their settlement."""
