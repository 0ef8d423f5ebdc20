"""What a terminal moves: relays, cassettes, and their buses."""
