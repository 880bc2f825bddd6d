"""Calls of the gateway to other services."""
