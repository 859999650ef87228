"""Reference data that administrators keep: dated, never deleted, read through one catalogue.

What is in use is disabled from a day on and keeps its name; app.operations.records.reference writes
these tables, and app.operations.records.catalogue reads those that pages and rules know by code.
"""
