"""The second book (第二账): an independent check of a day's books, that shares no code with the first.

It reads the exchange's signed packages and the raw rows of the ledger by SQL of its own, keeps totals
of its own, and imports nothing of ours: who calls it hands in a connection and what verifies signatures.
"""
