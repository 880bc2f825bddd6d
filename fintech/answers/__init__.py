"""Answers of the API as Python objects: records, and series that become DataFrames."""

from fintech.answers.portfolios import Limit, NewTransaction, Position

__all__ = ["Limit", "NewTransaction", "Position"]
