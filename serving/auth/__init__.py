"""Who may ask: outside of ``FINTECH_ENV=local`` only callers whose credentials are known."""

from serving.auth.headers import SERVICE_TOKEN as HEADER

__all__ = ["HEADER", "PROTECTED"]

PROTECTED = ("/api/", "/portfolios", "/instruments", "/quality", "/tables", "/account")
"""Beginnings of the paths that show data; so does ``/`` itself."""
