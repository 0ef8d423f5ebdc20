"""A sample shop; see README.md."""
