"""Carry-over: what officers and enterprises enter, and the batches that recall and grant."""
