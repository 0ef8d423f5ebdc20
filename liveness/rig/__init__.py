"""Renders people and attacks before a camera, for demonstrations and tests.

Nothing here is used by the detectors, and a test keeps it so. A rendered head is not a person:
figures measured with it say how the software behaves, not how it would do in ISO/IEC 30107-3.
"""
