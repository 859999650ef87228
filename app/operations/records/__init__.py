"""Shared by all operations: actor, clock, calendar, parameters, reference data, log and outbox."""
