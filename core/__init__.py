"""Settings, stores, clock, errors, scheduler. Knows nothing of logs, cases or pages."""
