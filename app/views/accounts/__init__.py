"""账户管理: openings, changes of details, operators."""
