"""Notifications. The audit log is the outbox: what happened and the duty to tell of it are one transaction.

This package reads that log and the other tables; nothing in the decision store knows of it.
"""
