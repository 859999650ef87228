DROP FUNCTION clear_machine_leftovers();
DROP FUNCTION count_machine_request(text, bigint);
DROP FUNCTION carry_out_machine_keys(bigint[]);
DROP TABLE machine_rate, machine_answer, machine_request, machine_assertion, machine_token, machine_key,
           machine_client;
DROP FUNCTION machine_answer_stays();
DROP FUNCTION machine_key_stays();
