"""结算管理: day packages, the settlement of trades, differences and objections."""
