"""What stands around every page: frame, menu, help, error pages."""
