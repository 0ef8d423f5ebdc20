"""Webhooks: what happened to payments, told to merchants' own systems."""
