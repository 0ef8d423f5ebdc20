"""Prometheus metrics of the service.

Guarantees: every label's values are a closed set of names in the code, so the number of
series has a bound. With ``PROMETHEUS_MULTIPROC_DIR`` set, as ``countenance serve`` does, any
worker process answers with the sum over all of them, those that ended included; without it,
with its own.

The caller must still keep ``/metrics`` from the public: the figures are a business's own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from service.decisions import Decided
from service.ledger.check import Checked
from service.terminals.health import Summary
from wire.envelope import parse
from wire.messages import Decision, purpose_of

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Metrics:
    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.decisions = Counter(
            "countenance_decisions",
            "Decisions that were answered, repeated answers included.",
            ("purpose", "outcome", "reason"),
            registry=self._registry,
        )
        self.authorize_seconds = Histogram(
            "countenance_authorize_seconds",
            "Time from an attempt's bytes to its answer.",
            buckets=SECONDS,
            registry=self._registry,
        )
        self.challenges = Counter(
            "countenance_challenges", "Challenges that were issued.", registry=self._registry
        )
        self.rate_limited = Counter(
            "countenance_rate_limited",
            "Requests refused because their sender asked too often.",
            ("sender",),
            registry=self._registry,
        )
        self.unavailable = Counter(
            "countenance_unavailable",
            "Requests refused because the database did not answer.",
            registry=self._registry,
        )

    def count_decision(self, decided: Decided) -> None:
        """Counts a decision that this service signed."""
        made = parse(decided, Decision) if isinstance(decided, bytes) else decided
        decision = made.message
        self.decisions.labels(
            purpose_of(decision.context).name.lower(),
            decision.outcome.name.lower(),
            decision.reason or "",
        ).inc()

    def render(
        self,
        population_exceeded: int | None,
        ledger_checked: Checked | None,
        funding_due: int | None,
        doors: Summary | None,
    ) -> bytes:
        """The text exposition format; ``None`` where the database does not answer."""
        registry = self._registry
        if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        current = CollectorRegistry()
        current.register(_Population(population_exceeded))
        current.register(_LedgerCheck(ledger_checked))
        current.register(_Funding(funding_due))
        current.register(_Doors(doors))
        return generate_latest(registry) + generate_latest(current)


class _Population(Collector):
    """Of the database, not of a process: it is never summed."""

    def __init__(self, exceeded: int | None) -> None:
        self._exceeded = exceeded

    def collect(self) -> Iterator[GaugeMetricFamily]:
        if self._exceeded is not None:
            yield GaugeMetricFamily(
                "countenance_population_exceeded",
                "Checks of models and sites whose people match each other too often.",
                value=self._exceeded,
            )


class _LedgerCheck(Collector):
    """Of the database too; nothing before the first check."""

    def __init__(self, checked: Checked | None) -> None:
        self._checked = checked

    def collect(self) -> Iterator[GaugeMetricFamily]:
        if self._checked is not None:
            yield GaugeMetricFamily(
                "countenance_ledger_discrepancies",
                "What the newest check of the ledger found; anything but 0 needs a person.",
                value=self._checked.discrepancies,
            )
            yield GaugeMetricFamily(
                "countenance_ledger_checked_timestamp_seconds",
                "When the ledger was last checked, Unix time.",
                value=self._checked.at_ms / 1000,
            )


class _Funding(Collector):
    """Of the database too."""

    def __init__(self, due: int | None) -> None:
        self._due = due

    def collect(self) -> Iterator[GaugeMetricFamily]:
        if self._due is not None:
            yield GaugeMetricFamily(
                "countenance_funding_due",
                "Transfers whose processor is to be asked now; one that stays above 0 waits.",
                value=self._due,
            )


class _Doors(Collector):
    """Of the database too: how doors are, by their terminals' beats."""

    def __init__(self, doors: Summary | None) -> None:
        self._doors = doors

    def collect(self) -> Iterator[GaugeMetricFamily]:
        doors = self._doors
        if doors is None:
            return
        yield GaugeMetricFamily(
            "countenance_doors", "Doors' terminals that are registered.", value=doors.doors
        )
        complaints = GaugeMetricFamily(
            "countenance_doors_unwell", "Doors that somebody must look at.", labels=("complaint",)
        )
        for complaint, number in doors.complaints.items():
            complaints.add_metric((complaint.value,), number)
        yield complaints
        for name, about, value in (
            ("beat_age_seconds", "How long the most silent door was not heard.", doors.beat_age_ms),
            ("clock_skew_seconds", "How wrong the worst door's clock is.", doors.skew_ms),
            ("bundle_age_seconds", "How old the oldest bundle is.", doors.bundle_age_ms),
        ):
            yield GaugeMetricFamily(f"countenance_door_{name}_max", about, value=value / 1000)
        yield GaugeMetricFamily(
            "countenance_door_records_waiting_max",
            "What the longest outbox of a door holds.",
            value=doors.waiting,
        )
