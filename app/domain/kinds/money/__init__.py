"""资金: transfers at settlement banks, and the settlement reserve."""
