DROP TRIGGER binding_pays_receivables ON bank_binding;
DROP FUNCTION binding_pays_receivables();
DROP VIEW open_receivable;
