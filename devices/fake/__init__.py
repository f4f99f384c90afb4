"""A simulated device that answers exactly and at once, on a clock of its own."""
