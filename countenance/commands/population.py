"""``countenance population``: does the population that enrolled here match itself too often?

Exit codes: 0 as the policy allows, 1 exceeded, 4 the database is not available.
"""

from __future__ import annotations

import click
from rich.table import Table

from countenance.arguments import as_json
from countenance.house import House, open_house
from countenance.output import console, emit_json, fail
from face_engine.calibration import shipped
from service import policies
from service.clock import unix_ms
from service.faces import accepted
from service.population import ACCOUNTS_MIN, PopulationCheck, check_population, latest, places


@click.command()
@click.option("--run", is_flag=True, help="Check now, instead of showing the last night's check.")
@as_json
def population(run: bool, as_json: bool) -> None:
    """Compare the enrolled people with each other, everywhere and at each site."""
    with open_house() as house:
        if run:
            _check_all(house)
        with house.database.transaction() as conn:
            checks = latest(conn)
    if as_json:
        emit_json([_fields(check) for check in checks])
    elif checks:
        console.print(_table(checks))
    else:
        console.print(f"nothing was checked yet: it takes {ACCOUNTS_MIN} accounts of one pack")
    if any(check.exceeded for check in checks):
        fail(
            "People here match each other more often than the policy allows",
            why="they are more alike than those of the calibration, or somebody enrolled twice",
            todo="ask for a PIN there, or publish a policy with a lower false match rate",
        )


def _check_all(house: House) -> None:
    now_ms = unix_ms()
    with house.database.transaction() as conn:
        _, policy = policies.latest(conn, house.keys.signing, now_ms=now_ms)
        sites = places(conn)
    for calibration in accepted(shipped(), policy):
        for site in sites:
            check_population(
                house.database, house.keys, calibration, policy, site=site, now_ms=now_ms
            )


def _fields(check: PopulationCheck) -> dict[str, object]:
    return {
        "model_id": check.model_id.hex(),
        "site": check.site or None,
        "at_ms": check.at_ms,
        "accounts": check.figures.accounts,
        "comparisons": check.figures.comparisons,
        "matches": check.figures.matches,
        "fmr": check.figures.fmr,
        "fmr_lower": check.figures.fmr_lower,
        "fmr_allowed": check.fmr_allowed,
        "exceeded": check.exceeded,
    }


def _table(checks: tuple[PopulationCheck, ...]) -> Table:
    table = Table("site", "pack", "accounts", "comparisons", "FMR", "at least", "allowed", "")
    packs = {each.model_id: each.pack for each in shipped().values()}
    for check in checks:
        figures = check.figures
        table.add_row(
            check.site or "everywhere",
            packs.get(check.model_id, check.model_id.hex()[:8]),
            f"{figures.accounts:,}",
            f"{figures.comparisons:,}",
            f"{figures.fmr:.1e}",
            f"{figures.fmr_lower:.1e}",
            f"{check.fmr_allowed:.0e}",
            "[red]exceeded[/]" if check.exceeded else "[green]✓[/]",
        )
    return table
