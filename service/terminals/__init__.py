"""Terminals: who they are, and the challenges they were given."""
