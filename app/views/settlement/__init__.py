"""交易结算: the trades, the statements and the daily quotes, for those who read them."""
