"""What courts ordered, and what of it is frozen."""
