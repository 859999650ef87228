DROP TABLE audit_total, audit_day;
DROP FUNCTION audit_day_is_whole(), audit_day_follows();
