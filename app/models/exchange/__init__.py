"""Tables of what the trading side asks of the registry, and of its machines."""
