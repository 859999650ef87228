"""The frame of every page, menu, help, error pages."""
