"""Alerts: rules over windows, their states, and who was told."""
