"""The screen of a terminal: pages on the loopback, full screen in any Chromium (docs/kiosk.md)."""
