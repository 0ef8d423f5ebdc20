"""A bank's host that speaks ISO 8583 (1987), for cash machines and tills."""
