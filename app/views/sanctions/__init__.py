"""冻结收缴管理, and what 信息查询 tells of it."""
