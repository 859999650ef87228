"""Pledges: what their rules read, and what holder and pledgee are told."""
