"""What is shown and what is answered, across threads."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Thread

import pytest

from liveness.challenge import Colour
from terminal_client.kiosk.screen import (
    Fields,
    Instruction,
    Left,
    Screen,
    Stale,
    View,
    WithoutFace,
    Wrong,
)

IDLE = View(name="attract")
QUESTION = View(name="pin")
NOTHING = (-1, -1)


def number(screen: Screen) -> int:
    return screen.wait(NOTHING, timeout_s=0).number


def name(screen: Screen) -> str:
    return screen.wait(NOTHING, timeout_s=0).view.name


def meanwhile(act: Callable[[], None]) -> Thread:
    thread = Thread(target=act)
    thread.start()
    return thread


def answered(screen: Screen, *answers: Fields) -> Thread:
    """Gives each answer to the next view that asks."""

    def act() -> None:
        before = number(screen)
        for fields in answers:
            deadline = time.monotonic() + 5
            while (now := number(screen)) == before and time.monotonic() < deadline:
                time.sleep(0.005)
            before = now
            screen.answer(now, dict(fields))

    return meanwhile(act)


def read_even(fields: Fields) -> int:
    if int(fields["value"]) % 2:
        raise Wrong("odd")
    return int(fields["value"])


def test_a_wrong_answer_is_asked_for_again_and_says_why() -> None:
    screen = Screen(lambda: IDLE)
    thread = answered(screen, {"value": "3"}, {"value": "4"})
    assert screen.ask(QUESTION, read_even) == 4
    assert screen.wait(NOTHING, timeout_s=0).view.wrong == "odd"
    thread.join()


def test_an_answer_to_an_earlier_view_is_not_taken() -> None:
    screen = Screen(lambda: IDLE)
    earlier = number(screen)
    screen.show(QUESTION)
    with pytest.raises(Stale):
        screen.answer(earlier, {"do": "leave"})
    screen.prompt(Instruction(text="Look"))


def test_who_does_not_answer_has_left() -> None:
    screen = Screen(lambda: IDLE)
    with pytest.raises(Left):
        screen.ask(QUESTION, read_even, wait_s=0.01)


@pytest.mark.parametrize(("what", "raised"), [("leave", Left), ("no_face", WithoutFace)])
def test_before_the_camera_one_may_leave_or_take_the_other_way(
    what: str, raised: type[Exception]
) -> None:
    screen = Screen(lambda: IDLE)
    screen.show(View(name="face"))
    screen.answer(number(screen), {"do": what})
    with pytest.raises(raised):
        screen.prompt(Instruction(text="Look"))
    screen.prompt(Instruction(text="Look"))


def test_a_card_is_taken_only_where_one_is_waited_for() -> None:
    screen = Screen(lambda: IDLE)
    assert not screen.offer("card:1")
    screen.show(QUESTION)
    assert not screen.offer("card:1")
    seen: list[str] = []
    thread = meanwhile(
        lambda: seen.append(
            screen.ask(View(name="claim", claims=True), lambda fields: fields["claim"])
        )
    )
    while not screen.offer("card:1"):
        time.sleep(0.005)
    thread.join()
    assert seen == ["card:1"]


def test_a_result_stands_its_time_and_the_next_person_has_the_kiosks_language() -> None:
    screen = Screen(lambda: IDLE)
    screen.speak("zh")
    screen.show(View(name="result", lasts_s=0.5))
    assert screen.wait(NOTHING, timeout_s=0).language == "zh"
    time.sleep(0.6)
    assert name(screen) == "attract"
    assert screen.language == "en"


def test_a_language_that_is_not_spoken_changes_nothing() -> None:
    screen = Screen(lambda: IDLE)
    screen.speak("xx")
    assert screen.language == "en"


def test_what_stands_while_nobody_is_here_is_as_it_is_now() -> None:
    views = [IDLE]
    screen = Screen(lambda: views[-1])
    views.append(View(name="offline"))
    assert name(screen) == "offline"
    views.append(IDLE)
    assert name(screen) == "attract"


def test_a_prompt_is_told_once_for_each_change() -> None:
    screen = Screen(lambda: IDLE)
    screen.show(View(name="face"))
    first = screen.wait(NOTHING, timeout_s=0)
    seen = (first.change, first.beat)
    screen.prompt(Instruction(text="Look", colour=Colour.GREEN))
    told = screen.wait(seen, timeout_s=1)
    assert told.instruction.colour is Colour.GREEN
    screen.prompt(Instruction(text="Look", colour=Colour.GREEN))
    again = screen.wait((told.change, told.beat), timeout_s=0)
    assert (again.change, again.beat) == (told.change, told.beat)


def test_who_is_waited_for_may_be_called_off() -> None:
    class CalledOff(Exception):
        pass

    def watch() -> None:
        raise CalledOff

    screen = Screen(lambda: IDLE)
    screen.watch = watch
    with pytest.raises(CalledOff):
        screen.ask(QUESTION, read_even)
    with pytest.raises(CalledOff):
        screen.prompt(Instruction())
