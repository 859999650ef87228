-- Back to switches that the program alone has signed.
DROP TRIGGER switches_are_signed ON ab_user;
DROP TRIGGER switches_are_signed ON colleague_review_change;
DROP FUNCTION switches_are_signed();
