"""账户: opening, changes, succession, the end of an account; keys of machine clients."""
