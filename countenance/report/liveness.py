"""The report of a liveness trial: verdict first, then each species as it was rendered.

Guarantee: one HTML file that loads nothing from elsewhere and runs nothing.

The caller must still treat it as personal data where the portraits are of real people.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from countenance.liveness_trial import Picture, Trial
from liveness.evaluate import LIVE, Attacks, CueShares
from liveness.rig.species import LIVE as LIVE_SPECIES
from liveness.rig.species import SPECIES

APCER_MAX = 0.07
BPCER_MAX = 0.05
CANNOT_TELL_MAX = 0.10
BAR_WIDTH, BAR_HEIGHT = 320, 22
LIBRARIES = ("countenance", "numpy", "onnxruntime", "opencv-python")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """``mood`` is good, open or bad."""

    mood: str
    headline: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One species; ``stopped_by`` are the cues that did not say live, most often first."""

    name: str
    about: str
    attacks: Attacks
    stopped_by: tuple[tuple[str, CueShares], ...]
    pictures: tuple[tuple[str, str], ...]


def render(trial: Trial) -> str:
    """The whole HTML document."""
    environment = Environment(
        loader=PackageLoader("countenance", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "bar": bar}
    cues = trial.evaluation.cues()
    return environment.get_template("liveness.html.j2").render(
        trial=trial,
        evaluation=trial.evaluation,
        live=trial.evaluation.live,
        live_about=LIVE_SPECIES.about,
        live_pictures=_uris(trial.pictures.get(LIVE, ())),
        live_stopped_by=_stopped_by(cues.get(LIVE, {})),
        verdict=judge(trial),
        rows=[
            Row(
                name=name.replace("_", " "),
                about=SPECIES[name].about if name in SPECIES else "recordings of your own",
                attacks=attacks,
                stopped_by=_stopped_by(cues[name]),
                pictures=_uris(trial.pictures.get(name, ())),
            )
            for name, attacks in trial.evaluation.species.items()
        ],
        when=datetime.now(UTC).strftime("%d %B %Y, %H:%M UTC"),
        versions=[(name, version(name)) for name in LIBRARIES],
        apcer_max=APCER_MAX,
    )


def judge(trial: Trial) -> Verdict:
    """Every species' upper bound against the limit of NIST SP 800-63B-4 (APCER below 7 %)."""
    evaluation, live = trial.evaluation, trial.evaluation.live
    passed = [name for name, attacks in evaluation.species.items() if attacks.apcer >= APCER_MAX]
    unproven = [
        name for name, attacks in evaluation.species.items() if attacks.apcer_upper95 >= APCER_MAX
    ]
    refused = live.bpcer > BPCER_MAX
    silent = live.attempts > 0 and live.undecided > CANNOT_TELL_MAX * live.attempts
    if passed:
        return Verdict(
            mood="bad",
            headline=f"{_listed(passed)} passes too often",
            reason=f"At least {percent(APCER_MAX)} of the attempts were accepted as a live person.",
        )
    if refused or silent:
        return Verdict(
            mood="bad",
            headline="Too many live people are turned away",
            reason=f"{live.rejected} of {live.attempts} were called an attack, and of "
            f"{live.undecided} it could not be told.",
        )
    if unproven or not evaluation.species or not live.attempts:
        return Verdict(
            mood="open",
            headline="Too few attempts to tell",
            reason=f"With 95 % confidence the rate of {_listed(unproven) or 'some attack'} may "
            f"still be {percent(APCER_MAX)} or more: 42 attempts without an acceptance, or 150 "
            "with five, would rule that out.",
        )
    return Verdict(
        mood="good",
        headline="Attacks fail, and live people pass",
        reason=f"Every species is accepted less often than {percent(APCER_MAX)}, with 95 % "
        "confidence, in these rendered conditions.",
    )


def percent(value: float) -> str:
    return f"{value:.1%}".replace(".0%", "%")


def bar(attacks: Attacks) -> Markup:
    """The rate as a bar, its upper bound as a line, the limit as a mark; the full width is 25 %."""
    full = 0.25

    def at(rate: float) -> float:
        return round(min(rate / full, 1.0) * BAR_WIDTH, 1)

    middle = BAR_HEIGHT / 2
    label = f"APCER {percent(attacks.apcer)}, at most {percent(attacks.apcer_upper95)}"
    return Markup(  # noqa: S704 (numbers alone)
        f'<svg viewBox="0 0 {BAR_WIDTH} {BAR_HEIGHT}" role="img" aria-label="{label}">'
        f'<rect width="{BAR_WIDTH}" height="{BAR_HEIGHT}" rx="3" fill="#eef1f4"/>'
        f'<rect width="{at(attacks.apcer)}" height="{BAR_HEIGHT}" rx="3" fill="#b3261e"/>'
        f'<line x1="{at(attacks.apcer)}" x2="{at(attacks.apcer_upper95)}" y1="{middle}" '
        f'y2="{middle}" stroke="#16202c" stroke-width="2"/>'
        f'<line x1="{at(attacks.apcer_upper95)}" x2="{at(attacks.apcer_upper95)}" y1="5" '
        f'y2="{BAR_HEIGHT - 5}" stroke="#16202c" stroke-width="2"/>'
        f'<line x1="{at(APCER_MAX)}" x2="{at(APCER_MAX)}" y1="0" y2="{BAR_HEIGHT}" '
        'stroke="#9a6a00" stroke-width="1.5" stroke-dasharray="3 3"/></svg>'
    )


def _listed(names: list[str]) -> str:
    """The first names in words."""
    shown = [name.replace("_", " ") for name in names[:3]]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _stopped_by(cues: dict[str, CueShares]) -> tuple[tuple[str, CueShares], ...]:
    found = [(name, said) for name, said in cues.items() if said.attack + said.undecided > 0]
    return tuple(sorted(found, key=lambda each: (-each[1].attack, -each[1].undecided)))


def _uris(pictures: tuple[Picture, ...]) -> tuple[tuple[str, str], ...]:
    return tuple(
        (one.moment, "data:image/jpeg;base64," + b64encode(one.jpeg).decode()) for one in pictures
    )
