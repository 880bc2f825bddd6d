"""What answers have in common: their form, their formats, their pages, and what is told of their data."""

from serving.answers.forms import Collection, Resource, Row, StalenessOut, WarningOut, described_by

__all__ = ["Collection", "Resource", "Row", "StalenessOut", "WarningOut", "described_by"]
