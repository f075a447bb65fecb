"""Incidents: what went wrong, who works on it, what was done, and what is owed to others."""
