"""What the model should live by: principles, stress tests of them, critique and revision."""
