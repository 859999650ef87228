"""Keys, certificates, signatures and tokens: pure code that knows no web and no database."""
