"""资金管理: money at settlement banks, deposits and withdrawals, bound bank accounts."""
