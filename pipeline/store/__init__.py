"""Postgres: one module a table, all SQL, and the one path by which rows are written."""
