"""系统管理: logs, parameters, calendar, permissions, jobs, announcements."""
