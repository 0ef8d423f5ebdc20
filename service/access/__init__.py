"""Doors: who may enter where, and when."""
