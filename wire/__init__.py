"""Everything that crosses the network between a terminal and the service.

No module here does I/O. ``docs/protocol.md`` is the normative description.
"""
