"""结转: rounds, notices, applications, batches, and the statement to the ministry."""
