DELETE FROM unfinished_form;
ALTER TABLE unfinished_form DROP COLUMN content, DROP COLUMN address;
ALTER TABLE unfinished_form ADD COLUMN content JSONB NOT NULL;
