"""Somebody without a mouse: everything is reached by Tab, and worked by Enter, Space, letters."""

from __future__ import annotations

from dataclasses import dataclass

from playwright.sync_api import Page

TABS_MAX = 250
_AT = "wanted => document.activeElement.matches(wanted)"
_RING = """() => {
  const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement);
  return outlineStyle === "none" ? 0 : parseFloat(outlineWidth);
}"""
RING_PIXELS_MIN = 2


@dataclass(frozen=True, slots=True)
class Keyboard:
    page: Page

    def to(self, wanted: str) -> None:
        """Goes on by Tab until the focus is on what the CSS selector says, where it can be seen."""
        for _ in range(TABS_MAX):
            if self.page.evaluate(_AT, wanted):
                self._see()
                return
            self.page.keyboard.press("Tab")
        raise AssertionError(f"the keyboard does not reach {wanted} on {self.page.url}")

    def _see(self) -> None:
        """Where the focus is can be seen: what has it, and a ring around that."""
        focused = self.page.locator(":focus")
        assert focused.is_visible()
        assert self.page.evaluate(_RING) >= RING_PIXELS_MIN, focused.evaluate("it => it.outerHTML")

    def press(self, wanted: str, key: str = "Enter") -> None:
        self.to(wanted)
        self.page.keyboard.press(key)

    def go(self, wanted: str, key: str = "Enter") -> None:
        """Presses what leads to another page, and waits for that."""
        self.to(wanted)
        with self.page.expect_navigation():
            self.page.keyboard.press(key)

    def write(self, wanted: str, text: str) -> None:
        """In place of what the field holds."""
        self.to(wanted)
        self.page.keyboard.press("ControlOrMeta+a")
        self.page.keyboard.insert_text(text)
