"""Renders people and attacks before a camera, for demonstrations, tests and evaluations.

    presentation = SPECIES["print_bent"].present(portrait, seed)
    at_ms = presentation.next_ms(at_ms); frame = presentation.frame(at_ms)
    presentation.follow(move, at_ms, colour)                    what the screen asks and shows

``species.py`` is the registry: a new attack is a function from a portrait and the attempt's
conditions to a presentation, under ``@species("what it is")``. Most are a
:class:`~liveness.rig.presentation.Filmed`: a subject (texture on a relief), an actor who moves
it, and a scene (room, light, lens, camera). Recordings of real attempts are read from folders by
``recording.py``.

Nothing here is used by the detectors, and a test keeps it so. A rendered head is not a person:
figures measured with it say how the software behaves, not how it would do in ISO/IEC 30107-3.
"""
