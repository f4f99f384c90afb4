"""How long it takes: campaigns, statistics, and the database of measurements."""
