"""Countenance: the front door that puts the parts together."""
