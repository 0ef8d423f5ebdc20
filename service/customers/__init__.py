"""Customers, as they come to their own page: how they sign in, what they read, what they do."""
