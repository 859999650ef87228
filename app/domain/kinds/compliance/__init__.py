"""履约: plans, notices, surrender and its refunds."""
