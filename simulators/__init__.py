"""Programs that stand for the exchange, the bank and other registries, and speak the real protocols."""
