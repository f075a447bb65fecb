"""Bytes to canonical rows."""
