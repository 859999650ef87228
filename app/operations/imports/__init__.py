"""Tables from outside: read, checked, and turned into drafts or notices."""
