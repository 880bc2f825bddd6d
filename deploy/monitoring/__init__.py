"""Monitoring as code: what is scraped, what is wrong when, whom to tell, and what is drawn."""
