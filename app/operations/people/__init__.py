"""Members and what lets them in: certificates, letters with links and codes, replacements."""
