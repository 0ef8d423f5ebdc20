"""The rules of a verification: pure, no database, no clock, no network."""
