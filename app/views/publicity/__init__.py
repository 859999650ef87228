"""信息公开, for everybody; and reports of a year."""
