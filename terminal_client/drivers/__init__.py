"""What a terminal moves: locks and readers, each behind one :class:`channel.Channel`.

Each driver imports its library when it is chosen, so a door needs only its own extra.
"""
