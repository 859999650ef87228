"""Keys, certificates, signatures and tokens, independent of web and database."""
