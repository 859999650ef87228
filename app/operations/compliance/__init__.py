"""履约: notices, reminders and attestations."""
