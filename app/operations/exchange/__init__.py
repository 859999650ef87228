"""What the exchange asks of the registry, and the instruments that are traded."""
