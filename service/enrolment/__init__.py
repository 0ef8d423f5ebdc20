"""Accounts: consent, claims, references, and their end."""
