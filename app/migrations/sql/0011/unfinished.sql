-- Stored input may be personal data: encrypted from here on.  What is there lives for a day and is dropped.
DELETE FROM unfinished_form;
ALTER TABLE unfinished_form DROP COLUMN content;
ALTER TABLE unfinished_form ADD COLUMN content TEXT NOT NULL, ADD COLUMN address TEXT DEFAULT '' NOT NULL;
