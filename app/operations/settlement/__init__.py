"""交易结算: the exchange's day packages, clearing, and delivery against payment."""
