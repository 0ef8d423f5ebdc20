"""Money: double entry in integer minor units."""
