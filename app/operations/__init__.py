"""Verbs: lock, guard, decide, write, record.  One is a batch of one; edges commit."""
