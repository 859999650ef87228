"""Reference data maintained by administrators: dated, never deleted, read through one catalogue.

A value is disabled from a day on and keeps its name.  app.operations.records.reference writes these
tables; app.operations.records.catalogue reads those that pages and rules use by code.
"""
