"""What an alarm sees in a window: observed against expected, for every filter and rule."""
