"""Frames to verdict: is this a living person, here and now? No network, camera or clock."""
