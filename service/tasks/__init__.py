"""Celery: what need not answer now. Tasks are one-line calls into the domains."""
