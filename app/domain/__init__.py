"""The registry's rules: no web, no database, no clock, no input or output."""
