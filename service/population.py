"""The false match rate of the people who enrolled here, against the policy's.

A sample of accounts' references is opened in memory and compared with each other; only the
histogram stays (:mod:`service.verification.population`). For the whole population, and for
each site, whose people may be more alike: a school, a family business.

Guarantees: one check's memory and time are bounded whatever the number of accounts: at most
``ACCOUNTS_MAX`` of them are opened. Accounts are taken from a
random id upwards, and ids are random. References in holder mode cannot be opened here and are
left out.

The caller must still show what is exceeded: :func:`latest` for pages, :func:`count_exceeded`
for metrics.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

import numpy as np
from psycopg import Connection

from face_engine.calibration import Calibration
from face_engine.types import Vector
from service.db import Database, Row
from service.enrolment import accounts
from service.enrolment.accounts import SampledReference
from service.keys import KeyRing
from service.verification.policy import Policy
from service.verification.population import PopulationFigures, compare_all
from service.verification.protection import unprotect
from wire.ids import AccountId

ACCOUNTS_MAX = 2000
ACCOUNTS_MIN = 20
SITES_MAX = 200
NEWEST_MS = 8 * 24 * 3600 * 1000
KEPT_MS = 400 * 24 * 3600 * 1000
EVERYWHERE = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PopulationCheck:
    """``site`` is empty for the whole population; ``fmr_allowed`` is one of the policy's rates."""

    model_id: bytes
    site: str
    at_ms: int
    threshold: float
    fmr_allowed: float
    figures: PopulationFigures

    @property
    def exceeded(self) -> bool:
        return self.figures.fmr_lower > self.fmr_allowed


def places(conn: Connection[Row]) -> list[str]:
    """What to check: everywhere, and each site that a terminal stands at."""
    rows = conn.execute(
        "SELECT DISTINCT site FROM terminals WHERE site <> '' ORDER BY site LIMIT %s",
        (SITES_MAX,),
    ).fetchall()
    return [EVERYWHERE, *(row[0] for row in rows)]


def check_population(
    database: Database,
    keys: KeyRing,
    calibration: Calibration,
    policy: Policy,
    *,
    site: str,
    now_ms: int,
) -> tuple[PopulationCheck, ...]:
    """Checks each rate of the policy; empty where too few accounts have this model."""
    vectors = _sample(database, keys, calibration.model_id, site)
    if len(vectors) < ACCOUNTS_MIN:
        return ()
    checks = []
    for fmr in policy.rates:
        threshold = calibration.threshold_for(fmr)
        figures = compare_all(np.stack(vectors), threshold=threshold, seed=secrets.randbits(32))
        check = PopulationCheck(
            model_id=calibration.model_id,
            site=site,
            at_ms=now_ms,
            threshold=threshold,
            fmr_allowed=fmr,
            figures=figures,
        )
        _store(database, check)
        checks.append(check)
    return tuple(checks)


def _sample(database: Database, keys: KeyRing, model_id: bytes, site: str) -> list[Vector]:
    """From a random id upwards, then from the lowest id on."""
    start = AccountId.new()
    with database.transaction() as conn:
        found = accounts.sample(conn, model_id, site, start, limit=ACCOUNTS_MAX)
        if len(found) < ACCOUNTS_MAX:
            rest = accounts.sample(conn, model_id, site, AccountId(bytes(16)), limit=ACCOUNTS_MAX)
            found += [each for each in rest if each.reference.slot.account < start]
    opened = (_open(keys, each) for each in found[:ACCOUNTS_MAX])
    return [vector for vector in opened if vector is not None]


def _open(keys: KeyRing, sampled: SampledReference) -> Vector | None:
    slot = sampled.reference.slot
    data_key = keys.unwrap(sampled.wrapped_key, slot.account)
    if data_key is None:
        return None
    return unprotect(
        sampled.reference.ciphertext,
        slot,
        data_key=data_key,
        holder_share=None,
        transform_key=keys.transforms,
    )


def _store(database: Database, check: PopulationCheck) -> None:
    figures = check.figures
    with database.transaction() as conn:
        conn.execute(
            """INSERT INTO population_checks (model_id, site, at_ms, accounts, comparisons,
            matches, threshold, fmr_allowed, fmr, fmr_lower, histogram)
            VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)""",
            (
                check.model_id,
                check.site,
                check.at_ms,
                figures.accounts,
                figures.comparisons,
                figures.matches,
                check.threshold,
                check.fmr_allowed,
                figures.fmr,
                figures.fmr_lower,
                list(figures.histogram),
            ),
        )
        conn.execute("DELETE FROM population_checks WHERE at_ms < %s", (check.at_ms - KEPT_MS,))


def count_exceeded(conn: Connection[Row], *, now_ms: int) -> int:
    """How many of the newest checks of the last week are exceeded."""
    row = conn.execute(
        """SELECT count(*) FROM (SELECT DISTINCT ON (model_id, site, fmr_allowed)
        fmr_lower > fmr_allowed AS exceeded FROM population_checks WHERE at_ms > %s
        ORDER BY model_id, site, fmr_allowed, at_ms DESC) AS newest WHERE exceeded""",
        (now_ms - NEWEST_MS,),
    ).fetchone()
    return int(row[0]) if row else 0


def latest(conn: Connection[Row]) -> tuple[PopulationCheck, ...]:
    """The newest check of each model, site and rate."""
    rows = conn.execute(
        """SELECT DISTINCT ON (model_id, site, fmr_allowed) model_id, site, at_ms, threshold,
        fmr_allowed, accounts, comparisons, matches, fmr, fmr_lower, histogram
        FROM population_checks
        ORDER BY model_id, site, fmr_allowed, at_ms DESC LIMIT %s""",
        (SITES_MAX * 8,),
    ).fetchall()
    return tuple(
        PopulationCheck(
            model_id=row[0],
            site=row[1],
            at_ms=row[2],
            threshold=row[3],
            fmr_allowed=row[4],
            figures=PopulationFigures(
                accounts=row[5],
                comparisons=row[6],
                matches=row[7],
                fmr=row[8],
                fmr_lower=row[9],
                histogram=tuple(row[10]),
            ),
        )
        for row in rows
    )
