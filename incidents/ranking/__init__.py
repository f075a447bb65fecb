"""Preference ranking: several responses to one prompt, ordered by several people, and the pairs that follow."""
