"""The operators' acts on sites, zones, doors, groups, grants, visitors and alarms.

Each is one transaction with its audit leaf. An act on what is not there does nothing, leaves no
leaf, and says so.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import date

from psycopg import Connection

from access.rules import Grant, Mode, ZoneRules
from service import alarms
from service.access import places, store
from service.access.places import Door, Failure, Place, Site, Subject, Zone
from service.db import Row
from service.operators.recorder import Recorder
from wire.ids import AccountId, AlarmId, DoorId, GroupId, Id, SiteId, ZoneId


class AccessActs(Recorder):
    __slots__ = ()

    def add_site(self, name: str, time_zone: str) -> SiteId:
        site = Site(site=SiteId.new(), name=name, time_zone=time_zone)
        with self.database.transaction() as conn:
            places.add_site(conn, site, now_ms=self.clock())
            self._record(conn, "site.add", site.site)
        return site.site

    def set_holidays(self, site: SiteId, days: Collection[date]) -> bool:
        return self._done(lambda conn: places.set_holidays(conn, site, days), "site.holidays", site)

    def set_mode(self, place: SiteId | ZoneId, mode: Mode) -> bool:
        """When this returns, no door is commanded any more but by the new mode."""
        kind = "site" if isinstance(place, SiteId) else "zone"
        return self._done(
            lambda conn: places.set_mode(conn, place, mode), f"{kind}.{mode.value}", place
        )

    def add_zone(self, name: str, site: SiteId, rules: ZoneRules) -> ZoneId:
        zone = Zone(zone=ZoneId.new(), site=site, name=name, rules=rules)
        with self.database.transaction() as conn:
            places.add_zone(conn, zone, now_ms=self.clock())
            self._record(conn, "zone.add", zone.zone, site)
        return zone.zone

    def set_rules(self, zone: ZoneId, rules: ZoneRules) -> bool:
        return self._done(lambda conn: places.set_rules(conn, zone, rules), "zone.rules", zone)

    def grant_amnesty(self, zone: ZoneId, account: AccountId | None = None) -> int:
        """Forgets who is inside and outside, of everybody or one account. Returns of how many."""
        with self.database.transaction() as conn:
            number = store.forget(conn, zone, account, now_ms=self.clock())
            if number:
                self._record(conn, "zone.amnesty", zone, *([account] if account else []))
        return number

    def add_door(
        self, name: str, zone: ZoneId | None = None, failure: Failure = Failure.SECURE
    ) -> DoorId:
        """Into ``zone``; without it, into one of its own in the oldest site."""
        door = Door(door=DoorId.new(), name=name, zone=zone, failure=failure)
        with self.database.transaction() as conn:
            places.add_door(conn, door, now_ms=self.clock())
            self._record(conn, "door.add", door.door)
        return door.door

    def change_door(self, door: DoorId, zone: ZoneId, failure: Failure) -> bool:
        return self._done(
            lambda conn: places.change_door(conn, door, zone, failure), "door.change", door, zone
        )

    def add_group(self, name: str) -> GroupId:
        group = GroupId.new()
        with self.database.transaction() as conn:
            places.add_group(conn, group, name, now_ms=self.clock())
            self._record(conn, "group.add", group)
        return group

    def join_group(self, group: GroupId, account: AccountId) -> None:
        with self.database.transaction() as conn:
            places.join_group(conn, group, account, now_ms=self.clock())
            self._record(conn, "group.join", account, group)

    def leave_group(self, group: GroupId, account: AccountId) -> bool:
        return self._done(
            lambda conn: places.leave_group(conn, group, account), "group.leave", account, group
        )

    def grant(self, subject: Subject, place: Place, grant: Grant) -> None:
        with self.database.transaction() as conn:
            places.set_grant(conn, subject, place, grant)
            self._record(conn, f"{_kind(place)}.grant", subject, place)

    def revoke_grant(self, subject: Subject, place: Place) -> bool:
        return self._done(
            lambda conn: places.revoke_grant(conn, subject, place),
            f"{_kind(place)}.revoke",
            subject,
            place,
        )

    def set_visit(self, account: AccountId, until_ms: int | None) -> bool:
        """A visitor's until then; None for an account that is no visitor's any more."""
        return self._done(
            lambda conn: places.set_visit(conn, account, until_ms, now_ms=self.clock()),
            "visit.end" if until_ms is None else "visit.set",
            account,
        )

    def acknowledge_alarm(self, alarm: AlarmId) -> bool:
        return self._done(
            lambda conn: alarms.acknowledge(conn, alarm, now_ms=self.clock()),
            "alarm.acknowledge",
            alarm,
        )

    def _done(self, work: Callable[[Connection[Row]], bool], act: str, *subjects: Id) -> bool:
        with self.database.transaction() as conn:
            done = work(conn)
            if done:
                self._record(conn, act, *subjects)
        return done


def _kind(place: Place) -> str:
    return "zone" if isinstance(place, ZoneId) else "door"
