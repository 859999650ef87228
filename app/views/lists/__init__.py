"""The one list page and its parts."""
