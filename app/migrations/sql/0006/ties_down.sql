DROP TRIGGER tie_movements ON movement;
DROP TRIGGER postings_are_tied ON posting;
DROP FUNCTION movements_are_led();
DROP FUNCTION postings_are_tied();
DROP FUNCTION posting_fault(posting);
ALTER TABLE application_event DROP COLUMN recorded_xid, DROP COLUMN status;
ALTER TABLE posting DROP COLUMN recorded_xid, DROP COLUMN leads;
DROP TABLE untied_business;
DROP TABLE posting_route;
