"""``countenance models migrate``: how far the accounts are on the way to the best model."""

from __future__ import annotations

import click
from rich.table import Table

from countenance.arguments import as_json
from countenance.house import open_house
from countenance.output import console, emit_json
from face_engine.calibration import shipped
from service import policies
from service.clock import unix_ms
from service.enrolment import accounts


@click.command()
@click.option("--status", is_flag=True, expose_value=False, help="Count accounts; the default.")
@as_json
def migrate(as_json: bool) -> None:
    """A verified face is enrolled by the policy's best pack, too; here is how far that went."""
    with open_house() as house, house.database.transaction() as conn:
        _, policy = policies.latest(conn, house.keys.signing, now_ms=unix_ms())
        counted = accounts.count_by_models(conn)
    names = {each.model_id: each.pack for each in shipped().values()}
    by_packs = {
        tuple(sorted(names.get(model, model.hex()[:8]) for model in models)): number
        for models, number in counted.items()
    }
    best, total = policy.packs[0], sum(by_packs.values())
    arrived = sum(number for packs, number in by_packs.items() if best in packs)
    if as_json:
        emit_json(
            {
                "packs": list(policy.packs),
                "accounts": total,
                "with_best": arrived,
                "by_packs": {"+".join(packs): number for packs, number in by_packs.items()},
            }
        )
        return
    table = Table("references by", "accounts")
    for packs, number in sorted(by_packs.items(), key=lambda row: -row[1]):
        table.add_row(" + ".join(packs), f"{number:,}")
    console.print(table)
    share = f"{arrived / total:.0%}" if total else "none"
    console.print(f"{arrived:,} of {total:,} accounts ({share}) have the best pack, {best}")
