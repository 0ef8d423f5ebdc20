"""Somebody without a mouse: everything is reached by Tab, and worked by Enter, Space, letters."""

from __future__ import annotations

from dataclasses import dataclass

from playwright.sync_api import Page

TABS_MAX = 400
_AT = "wanted => document.activeElement.matches(wanted)"
_RING = """() => {
  const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement);
  return outlineStyle === "none" ? 0 : parseFloat(outlineWidth);
}"""
RING_PIXELS_MIN = 2
# What somebody may want to reach; what is hidden, or in a closed <details>, has no box.
_CONTROLS = """() => [...document.querySelectorAll(
    "a[href], button, input, select, textarea, summary, [tabindex]")]
  .filter(each => each.checkVisibility({ visibilityProperty: true }) && !each.disabled)"""
_BEGIN = """() => { window.reached = new Set(); document.querySelector("a, button").focus(); }"""
# Notes where the focus is, and says what is wrong with how it looks (WCAG 2.2, 2.4.7 and 2.4.11).
_NOTE = f"""() => {{
  const at = document.activeElement;
  if (at === document.body) return "end";
  const again = window.reached.has(at) && window.last !== at;
  window.reached.add(at);
  window.last = at;
  if (again) return "end";
  if (at.matches("details:not([open]) > summary")) return "closed";
  const box = at.getClientRects()[0];
  const x = (Math.max(box.left, 0) + Math.min(box.right, innerWidth)) / 2;
  const y = (Math.max(box.top, 0) + Math.min(box.bottom, innerHeight)) / 2;
  const seen = document.elementFromPoint(x, y);
  if (!seen || !(at.contains(seen) || seen.contains(at))) return "hidden: " + at.outerHTML;
  if (({_RING})() < {RING_PIXELS_MIN})
    return "without a ring: " + at.outerHTML;
  return "";
}}"""
_LEFT = f"() => ({_CONTROLS})().filter(each => !window.reached.has(each)).map(e => e.outerHTML)"
SHOWN = 120


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

    def reach_everything(self) -> list[str]:
        """By Tab alone from the page's beginning to its end, opening what is closed on the way;
        returns what was not reached, or not seen when the focus was on it."""
        wrong = []
        self.page.evaluate(_BEGIN)
        for _ in range(TABS_MAX):
            said = self.page.evaluate(_NOTE)
            if said == "end":
                break
            if said == "closed":
                self.page.keyboard.press("Enter")
            elif said:
                wrong.append(said[:SHOWN])
            self.page.keyboard.press("Tab")
        return wrong + [f"not reached: {each[:SHOWN]}" for each in self.page.evaluate(_LEFT)]
