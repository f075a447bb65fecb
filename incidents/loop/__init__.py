"""The loop, closed: a filter trained on a feedback set runs in shadow over traffic that it never saw."""
