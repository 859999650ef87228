"""What courts order: what the rules read of it, and what ends by itself."""
