"""Random operations and faults against a real API server, and an oracle that says what must be true once they end."""
