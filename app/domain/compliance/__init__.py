"""履约: what plans and notices say, and how quantities are computed from them."""
