"""What a terminal's commands say: the outcome of an attempt, and what went wrong.

Exit codes: 0 approved and done, 1 denied or not done, 2 usage, 3 a package or model file is
missing, 4 no usable answer from the service, 5 camera, 6 storage.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from countenance.output import emit_json, fail
from face_engine.errors import ModelFileError
from face_engine.quality import Flaw
from terminal_client import errors
from terminal_client.ceremony import Prompt
from terminal_client.errors import TerminalError
from terminal_client.exchange import Ended, Ending, Word
from wire.denial import Reason
from wire.messages import Completion, Source

DENIED, USAGE, MISSING, UNREACHABLE, CAMERA, STORAGE, DOOR = range(1, 8)
CLOCK_SKEW_SHOWN_MS = 60_000

_ENDING = {
    Ending.NO_USABLE_FACE: ("no usable face was seen", "look at the camera and start again"),
    Ending.NOT_LIVE: (
        "the camera did not see a live person do what was asked",
        "start again, and follow the instructions; or pay with card and PIN",
    ),
    Ending.FRAMES_DISAGREE: (
        "not the same person in all pictures",
        "one person at a time: start again",
    ),
    Ending.MODEL_NOT_ACCEPTED: (
        "the service does not accept this terminal's model pack",
        "choose a pack that the service accepts: --pack, or pack in terminal.toml",
    ),
}
_REASON: dict[str, tuple[str, str]] = {
    Reason.NOT_VERIFIED: (
        "the face, the claim or the PIN is not the account's",
        "start again, or use card and PIN",
    ),
    Reason.CHALLENGE_NOT_ACCEPTED: (
        "the challenge was used up or is too old: the person took too long",
        "start again",
    ),
    Reason.EVIDENCE_NOT_ACCEPTED: (
        "the service does not accept this terminal's evidence (camera, pack or key)",
        "a production service accepts real cameras only; ask its operator for the denial",
    ),
    Reason.LIVENESS_NOT_SHOWN: (
        "the service is not convinced that a live person stood here",
        "start again, and follow the instructions",
    ),
    Reason.INSUFFICIENT_FUNDS: ("the account has not enough money", "another way to pay"),
    Reason.LIMIT_EXCEEDED: ("the amount is above the limit", "a smaller amount"),
    Reason.REFUSED_FOR_NOW: (
        "face, account and money are fine; a limit is reached for now",
        "a smaller amount, later, or another way to pay",
    ),
    Reason.NOT_PERMITTED: ("this is not permitted to this account here", "ask the operator"),
    Reason.DOOR_CLOSED: ("nobody may pass here now", "do as the alarm or the staff says"),
    Reason.SECOND_PERSON_MISSING: (
        "this door opens for two people only",
        "the second person now, within the time",
    ),
    Reason.OUTSIDE_SCHEDULE: ("the account may not enter now", "come back within the schedule"),
    Reason.ENROLMENT_NOT_ACCEPTED: (
        "the claim is taken, or the pictures are not of one person",
        "start again, or use another claim",
    ),
    Reason.TERMINAL_NOT_ACCEPTED: (
        "the service does not accept this terminal: it was revoked, or is unknown there",
        "an operator adds a new one: countenance terminal add; register it in a new --home",
    ),
    Reason.TOO_MANY_REQUESTS: ("this terminal asks too often", "wait a few seconds"),
    Reason.UNAVAILABLE: ("the service is not available now", "start again"),
}
_ERRORS: tuple[tuple[type[Exception], str, int, str, str], ...] = (
    (errors.InUse, "in_use", STORAGE, "This terminal is busy", "wait for the other process"),
    (
        errors.StorageError,
        "storage",
        STORAGE,
        "The terminal's own storage cannot be used",
        "repair what is named; nothing is sent until then",
    ),
    (
        errors.DispenserError,
        "dispenser",
        STORAGE,
        "The dispenser cannot say where notes went",
        "count the notes: countenance terminal atm report",
    ),
    (errors.CameraError, "camera", CAMERA, "The camera gives no pictures", "--camera names it"),
    (
        errors.DriverError,
        "driver",
        DOOR,
        "The door's driver cannot be used",
        "docs/doors.md has wiring and set-up; the door stays as its lock is without orders",
    ),
    (
        errors.NotRegistered,
        "not_registered",
        USAGE,
        "This terminal is not registered",
        "countenance terminal register CODE --kind … --service https://…",
    ),
    (errors.UsageError, "usage", USAGE, "This cannot be done", ""),
    (
        ModelFileError,
        "models",
        MISSING,
        "The model pack cannot be used",
        "install or repair the file, or choose another --pack",
    ),
)


class Report:
    """Prints for people; with ``as_json``, the last line of standard output is one object."""

    def __init__(self, out: Console, *, as_json: bool) -> None:
        self.out = out
        self.as_json = as_json

    def say(self, text: str) -> None:
        self.out.print(text, highlight=False, soft_wrap=True)

    def finish(self, values: dict[str, object]) -> None:
        if self.as_json:
            emit_json(values)

    def fail(
        self, name: str, what: str, *, why: str, todo: str, exit_code: int, **values: object
    ) -> NoReturn:
        self.finish({"outcome": name, **values})
        fail(what, why=why, todo=todo, exit_code=exit_code)

    @contextmanager
    def translating(self) -> Iterator[None]:
        """Every error of a terminal leaves as one message and its exit code."""
        try:
            yield
        except errors.Rejected as error:
            self._rejected(error)
        except (TerminalError, ModelFileError) as error:
            for kind, name, exit_code, what, todo in _ERRORS:
                if isinstance(error, kind):
                    self.fail(name, what, why=str(error), todo=todo, exit_code=exit_code)
            raise

    def _rejected(self, error: errors.Rejected) -> NoReturn:
        why, todo = _REASON.get(error.reason, ("", ""))
        self.fail(
            "denied",
            "The service refused",
            why=f"{why} ({error.detail})" if why else error.detail,
            todo=todo or "ask the service's operator",
            exit_code=DENIED,
            reason=error.reason,
        )

    def clock(self, error: errors.Rejected, unix_ms: int) -> None:
        """Fails by that name where the terminal's clock explains the refusal."""
        off_ms = unix_ms - error.now_ms if error.now_ms is not None else 0
        if error.reason != Reason.CHALLENGE_NOT_ACCEPTED or abs(off_ms) < CLOCK_SKEW_SHOWN_MS:
            return
        side = "ahead of" if off_ms > 0 else "behind"
        self.fail(
            "clock",
            "The terminal's clock is wrong",
            why=f"it is {abs(off_ms) / 60_000:.0f} min {side} the service's",
            todo="set it (timedatectl set-ntp true), and start again",
            exit_code=DENIED,
            clock_off_ms=off_ms,
        )

    def unreachable(self, why: str, waiting: int) -> NoReturn:
        if waiting:
            kept = (
                f"{waiting} kept in the outbox: `countenance terminal reconcile`, or the next"
                " start, settles it; nothing is charged twice"
            )
        else:
            kept = "nothing was sent: check network and service, and start again"
        self.fail(
            "unreachable",
            "There is no usable answer from the service",
            why=why,
            todo=kept,
            exit_code=UNREACHABLE,
            waiting=waiting,
        )

    def ended(
        self, ended: Ended, word: Word | None, source: Source | None, waiting: int, done: str
    ) -> None:
        """The outcome of an attempt; fails with 1 where it was not approved, or not done."""
        decision = ended.decision
        completed = word is not None and word.completion is Completion.COMPLETED
        values: dict[str, object] = {
            "outcome": ended.ending.value,
            "reason": ended.reason,
            "attempt": str(decision.attempt) if decision else None,
            "completed": completed,
            "handed_out_minor": word.amount_minor if word else None,
            "waiting": waiting,
        }
        if not ended.approved:
            why, todo = _explain(ended, source)
            self.finish(values)
            fail("Not approved", why=why, todo=todo, exit_code=DENIED)
        if waiting:
            self.say("[yellow]the confirmation waits in the outbox for the next start[/]")
        if not completed:
            self.finish(values)
            fail(
                "Approved, but not done",
                why="the device did not release what was approved",
                todo="look at the device; money that was held is free again",
                exit_code=DENIED,
            )
        if word is not None and word.amount_minor is not None:
            self.finish(values)
            fail(
                "Handed out in part",
                why=f"only {word.amount_minor} minor units of it left the machine",
                todo="the rest was given back to the account; look at the machine",
                exit_code=DENIED,
            )
        self.say(f"[green]✓[/] {done}")
        self.finish(values)


class Screen:
    """Shows the prompts of one attempt: a bar on a terminal, a line for each change elsewhere."""

    def __init__(self, out: Console) -> None:
        self._out = out
        self._last = ""
        columns = TextColumn("[bold]{task.description}"), BarColumn()
        self._progress = Progress(*columns, console=out, transient=True)
        self._task: TaskID | None = None

    def show(self, prompt: Prompt) -> None:
        if not self._out.is_terminal:
            if prompt.instruction != self._last:
                self._out.print(f"  {prompt.instruction}", highlight=False)
            self._last = prompt.instruction
            return
        if self._task is None:
            self._progress.start()
            self._task = self._progress.add_task(prompt.instruction, total=1.0)
        self._progress.update(self._task, description=prompt.instruction, completed=prompt.fraction)

    def close(self) -> None:
        """Leaves the line to whatever is asked or printed next."""
        if self._task is not None:
            self._progress.stop()


def explain(reason: str | None) -> str:
    """A coarse reason of the service in words; another reason as it is."""
    known = _REASON.get(reason or "")
    return known[0] if known else (reason or "unknown").replace("_", " ")


def _explain(ended: Ended, source: Source | None) -> tuple[str, str]:
    if ended.ending is Ending.DENIED:
        unknown = (str(ended.reason), "ask the service's operator")
        return _REASON.get(ended.reason or "", unknown)
    why, todo = _ENDING[ended.ending]
    if ended.ending is Ending.NO_USABLE_FACE:
        if source is Source.FILE:
            todo = "the pictures ended before the check was done: use a camera"
        if ended.reason in set(Flaw):
            why = f"{why}: {ended.reason.replace('_', ' ')} ({Flaw(ended.reason).instruction})"
    return why, todo
