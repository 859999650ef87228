"""What is published for everybody, and reported to the ministry."""
