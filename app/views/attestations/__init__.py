"""证明: their pages and their PDF."""
