"""Imports: reading and checking tables, and creating drafts or notices from them."""
