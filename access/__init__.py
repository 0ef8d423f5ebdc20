"""Whether a door opens: rules on plain data, the same for the service and for a door on its own."""
