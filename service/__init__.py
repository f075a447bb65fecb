"""What one running Weir owns: its stores, its jobs, its routes, and the way commands reach it."""
