"""The kiosk's catalogues, and the words of other packages that its pages show by value."""

from terminal_client.kiosk.words import WORDS

__all__ = ["WORDS"]
