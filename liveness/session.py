"""One liveness check, frame by frame: what the terminal's ceremony drives.

Guarantees: it ends within ``DURATION_MS_MAX`` and ``FRAMES_MAX``, and earlier where no further
frame can make the verdict live: at once where a move is late or another comes before it, which
whoever stands there knows anyway; for what the other cues found only between the moves and the
colours, so that the end does not tell which of them it was. The transcript's digest covers every
frame's time and pose and every colour shown. Moves come first, then the colours.

The caller must feed every frame in the order of capture, show :attr:`Progress.move` and
:attr:`Progress.colour` at once, embed a frame when :attr:`wants_embedding` says so, and look at
the whole picture, with the passive network, where there is nothing to :attr:`follow`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from hashlib import sha256

from face_engine.types import Face
from liveness.approach import ApproachTracker
from liveness.border import BorderTracker
from liveness.challenge import Colour, Move, Plan
from liveness.continuity import ContinuityTracker
from liveness.flash import FlashTracker, ShownColour
from liveness.fuse import fuse, required
from liveness.injection import FRAMES_MIN, InjectionTracker
from liveness.motion import DoneStep, MotionTracker
from liveness.passive import ALONE_LIVE_MIN, BESIDE_LIVE_MIN, PassiveTracker
from liveness.relief import ReliefTracker
from liveness.texture import TextureTracker
from liveness.types import Cue, Level, Observation, Outcome, Verdict

DURATION_MS_MAX = 25_000
FRAMES_MAX = 1_500
# Before the moves, after them, and after the colours.
EMBEDDINGS = (3, 2, 2)
# Between two looks at the whole picture the face is looked for where it was.
WHOLE_EVERY = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """``move`` and ``colour`` are what to ask for and show now; ``fraction`` runs from 0 to 1."""

    move: Move | None
    colour: Colour | None
    fraction: float
    finished: bool


@dataclass(slots=True)
class LivenessSession:
    plan: Plan
    level: Level
    same_person_min: float
    frames: int = 0
    _first_at_ms: int = 0
    _embedded: list[int] = field(default_factory=lambda: [0, 0, 0])
    _transcript: list[str] = field(default_factory=list)
    _motion: MotionTracker = field(init=False)
    _relief: ReliefTracker = field(default_factory=ReliefTracker)
    _approach: ApproachTracker = field(default_factory=ApproachTracker)
    _border: BorderTracker = field(default_factory=BorderTracker)
    _flash: FlashTracker = field(init=False)
    _passive: PassiveTracker = field(init=False)
    _texture: TextureTracker = field(default_factory=TextureTracker)
    _continuity: ContinuityTracker = field(init=False)
    _injection: InjectionTracker = field(default_factory=InjectionTracker)

    def __post_init__(self) -> None:
        self._motion = MotionTracker(self.plan)
        self._flash = FlashTracker(self.plan.colours)
        alone = self.level is Level.PASSIVE
        self._passive = PassiveTracker(ALONE_LIVE_MIN if alone else BESIDE_LIVE_MIN)
        self._continuity = ContinuityTracker(self.same_person_min)

    def observe(self, seen: Observation) -> Progress:
        if self.frames == 0:
            self._first_at_ms = seen.captured_at_ms
        self.frames += 1
        self._embedded[self._phase] += seen.embedding is not None
        self._injection.observe(seen.pixels, seen.captured_at_ms)
        self._look(self._continuity.observe(seen), seen)
        self._transcript.append(self._line(seen))
        return self._progress(seen.captured_at_ms)

    def _look(self, face: Face | None, seen: Observation) -> None:
        at_ms, pixels = seen.captured_at_ms, seen.pixels
        asked, moved = self._motion.baseline is not None, self._motion.finished
        if self._needs("motion"):
            self._motion.observe(face, at_ms)
        if face is None:
            return
        held = self._motion.held
        if pixels is not None and held is not None:
            self._relief.observe(pixels, face, at_ms, *held)
            if held[1] is Move.CLOSER:
                self._approach.observe(pixels, face, at_ms)
        elif pixels is not None and not asked:
            self._relief.remember(pixels, face)
            self._approach.remember(pixels, face)
        if moved and self._needs("flash"):
            self._flash.observe(pixels, face, at_ms, frontal=self._motion.frontal)
        if self._flash.current is None:
            self._passive.observe(seen)
            if pixels is not None:
                self._texture.observe(pixels, face)
                self._border.observe(pixels, face)

    def _line(self, seen: Observation) -> str:
        at_ms = seen.captured_at_ms - self._first_at_ms
        poses = self._motion.poses
        pose = poses[-1][1] if poses and poses[-1][0] == seen.captured_at_ms else None
        colour = self._flash.current or "-"
        return f"{at_ms} {pose.turn:.3f} {pose.nod:.3f} {colour}" if pose else f"{at_ms} -"

    def _progress(self, at_ms: int) -> Progress:
        over = at_ms - self._first_at_ms >= DURATION_MS_MAX or self.frames >= FRAMES_MAX
        moved = not self._needs("motion") or self._motion.finished
        flashed = not self._needs("flash") or self._flash.finished
        looked = self._passive.enough and self.frames > FRAMES_MIN
        enough = self.level is Level.NONE or (moved and flashed and looked and self._seen_again)
        return Progress(
            move=self.move,
            colour=self._flash.current,
            fraction=1.0 if enough else self._fraction(),
            finished=over or enough or self._lost,
        )

    @property
    def _lost(self) -> bool:
        """Whether it ends here, since no further frame can make the verdict live."""
        if self.level is Level.NONE or not self._needs("motion"):
            return False
        if self._motion.failed:
            return True
        if not self._motion.finished or self._flash.shown:
            return False
        found = self._continuity.failed or self._injection.failed or self._texture.failed
        accused = any(
            cue.outcome is Outcome.ATTACK for cue in (self._approach.cue(), self._border.cue())
        )
        return found or accused or self._relief.cue().outcome is not Outcome.LIVE

    def _fraction(self) -> float:
        done = len(self._motion.done) + len(self._flash.shown) / 4
        return min(done / (len(self.plan.steps) + len(self.plan.colours) / 4 or 1), 1.0)

    @property
    def move(self) -> Move | None:
        """What the person is asked to do now."""
        return self._motion.current if self._needs("motion") else None

    @property
    def waiting(self) -> bool:
        """Whether nothing was asked of the person yet."""
        return not self._needs("motion") or self._motion.baseline is None

    @property
    def wants_embedding(self) -> bool:
        """Whether to embed the next good frame: some before the moves, some after, for one
        identity must hold through all; none while a move or a colour changes the face."""
        phase = self._phase
        if self.move is not None or self._flash.current is not None:
            return False
        if phase and not self._motion.frontal:
            return False
        return self._embedded[phase] < EMBEDDINGS[phase]

    @property
    def follow(self) -> Face | None:
        """The face to look for near where the last frame had it, which costs a third; None where
        the next frame is to be looked at whole: before anything is asked, for an embedding,
        after a frame without a face, and often enough for nobody to stand beside unseen."""
        if self.waiting or self.wants_embedding or self.frames % WHOLE_EVERY == 0:
            return None
        return self._continuity.face

    @property
    def _phase(self) -> int:
        if not self._needs("motion") or not self._motion.finished:
            return 0
        return 2 if self._flash.shown else 1

    @property
    def _seen_again(self) -> bool:
        """Whether the face that was embedded before the moves was embedded after them."""
        if not self._needs("motion") or not self._embedded[0]:
            return True
        return self._embedded[1] + self._embedded[2] >= EMBEDDINGS[1]

    @property
    def _relies_on_network(self) -> bool:
        """Whether there is one, and at the level passive whether it can tell: a move answers
        where it cannot."""
        cue = self._passive.cue()
        if cue is None or self.level is not Level.PASSIVE or self.frames <= FRAMES_MIN:
            return cue is not None
        return cue.outcome is not Outcome.UNDECIDED

    def _needs(self, cue: str) -> bool:
        return cue in required(
            self.level, has_passive=self._relies_on_network, has_colours=bool(self.plan.colours)
        )

    @property
    def steps(self) -> tuple[DoneStep, ...]:
        """What was carried out, with times after the first frame."""
        return tuple(
            DoneStep(
                move=step.move,
                started_ms=step.started_ms - self._first_at_ms,
                ended_ms=step.ended_ms - self._first_at_ms,
            )
            for step in self._motion.done
        )

    @property
    def colours(self) -> tuple[ShownColour, ...]:
        """What was shown, with times after the first frame."""
        return tuple(
            ShownColour(colour=each.colour, shown_ms=each.shown_ms - self._first_at_ms)
            for each in self._flash.shown
        )

    @property
    def transcript_digest(self) -> bytes:
        return sha256("\n".join(self._transcript).encode()).digest()

    @property
    def colours_unreadable(self) -> bool:
        """Whether all says live but the flash, which cannot tell: moves may answer instead."""
        cues = {cue.name: cue for cue in self.verdict().cues}
        flash = cues.pop("flash", None)
        if flash is None or flash.outcome is not Outcome.UNDECIDED:
            return False
        has_passive = self._relies_on_network
        others = fuse([*cues.values()], self.level, has_passive=has_passive, has_colours=False)
        return others.outcome is Outcome.LIVE

    def _continuity_cue(self) -> Cue:
        cue = self._continuity.cue()
        if cue.outcome is Outcome.LIVE and not self._seen_again:
            return replace(cue, score=0.5, outcome=Outcome.UNDECIDED)
        return cue

    def verdict(self) -> Verdict:
        cues = [
            self._continuity_cue(),
            self._injection.cue(),
            self._motion.cue(),
            self._relief.cue(),
            self._flash.cue(),
            self._passive.cue(),
            self._texture.cue(),
            self._approach.cue(),
            self._border.cue(),
        ]
        return fuse(
            [cue for cue in cues if cue is not None],
            self.level,
            has_passive=self._relies_on_network,
            has_colours=bool(self.plan.colours),
        )
