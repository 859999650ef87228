"""履约: notices and how they stand, reminders, attestations."""
