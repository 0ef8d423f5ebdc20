"""Test vectors of the protocol, for this implementation and for others; see README.md."""
