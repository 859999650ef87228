-- Back to counters that the program writes; the counts of the moment are lost.
ALTER TABLE captcha DROP COLUMN sound;
ALTER TABLE login_session DROP COLUMN device_id;
DROP TABLE known_device;
DROP TRIGGER parameter_is_logged ON parameter;
DROP FUNCTION parameter_is_logged();
DROP FUNCTION clear_failures(text, text);
DROP FUNCTION give_back_guess(uuid);
DROP FUNCTION take_guess(text[], text[], integer[], interval);
DROP INDEX login_failure_at;
ALTER TABLE login_failure DROP COLUMN guess, DROP COLUMN member_no;
