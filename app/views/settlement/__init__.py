"""结算管理: day packages, settlement, differences and objections; trades, statements and daily quotes."""
