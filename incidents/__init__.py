"""People's decisions: cases, votes, incidents, alerts, exports."""

from pathlib import Path

MIGRATIONS = Path(__file__).parent / "migrations"
