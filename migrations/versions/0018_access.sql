-- mode: access.rules.Mode; passback: access.rules.Passback
CREATE TABLE sites (
    site_id id16 PRIMARY KEY,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 80),
    time_zone text NOT NULL,
    mode text NOT NULL DEFAULT 'normal' CHECK (mode IN ('normal', 'lockdown', 'evacuation')),
    created_at_ms bigint NOT NULL
);

CREATE TABLE holidays (
    site_id id16 NOT NULL REFERENCES sites,
    day date NOT NULL,
    PRIMARY KEY (site_id, day)
);

CREATE TABLE zones (
    zone_id id16 PRIMARY KEY,
    site_id id16 NOT NULL REFERENCES sites,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 80),
    mode text NOT NULL DEFAULT 'normal' CHECK (mode IN ('normal', 'lockdown', 'evacuation')),
    passback text NOT NULL DEFAULT 'off' CHECK (passback IN ('off', 'soft', 'hard')),
    passback_timeout_ms bigint CHECK (passback_timeout_ms > 0),
    occupancy_max integer CHECK (occupancy_max > 0),
    two_person_ms bigint CHECK (two_person_ms > 0),
    created_at_ms bigint NOT NULL,
    CHECK (two_person_ms IS NULL OR occupancy_max IS NULL OR occupancy_max > 1)
);
CREATE INDEX ON zones (site_id);

-- There is always a site: a door that names no zone gets one of its own in the oldest.
INSERT INTO sites (site_id, name, time_zone, created_at_ms)
VALUES (decode(md5(random()::text || clock_timestamp()::text), 'hex'), 'Main site', 'UTC', 0);

ALTER TABLE doors
    ADD COLUMN zone_id id16 REFERENCES zones,
    ADD COLUMN failure text NOT NULL DEFAULT 'fail_secure'
        CHECK (failure IN ('fail_safe', 'fail_secure'));
-- A door's own zone has its id: ids of different kinds are never compared.
INSERT INTO zones (zone_id, site_id, name, created_at_ms)
SELECT door_id, site_id, doors.name, doors.created_at_ms FROM doors, sites;
UPDATE doors SET zone_id = door_id;
ALTER TABLE doors ALTER COLUMN zone_id SET NOT NULL;
CREATE INDEX ON doors (zone_id);

CREATE TABLE groups (
    group_id id16 PRIMARY KEY,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 80),
    created_at_ms bigint NOT NULL
);

CREATE TABLE memberships (
    group_id id16 NOT NULL REFERENCES groups,
    account_id id16 NOT NULL,
    joined_at_ms bigint NOT NULL,
    PRIMARY KEY (group_id, account_id)
);
CREATE INDEX ON memberships (account_id);

CREATE TABLE visitors (
    account_id id16 PRIMARY KEY,
    until_ms bigint NOT NULL,
    set_at_ms bigint NOT NULL
);

-- Of an account or a group, for a zone or one door.
ALTER TABLE grants
    DROP CONSTRAINT grants_pkey,
    ALTER COLUMN account_id DROP NOT NULL,
    ALTER COLUMN door_id DROP NOT NULL,
    ADD COLUMN group_id id16 REFERENCES groups,
    ADD COLUMN zone_id id16 REFERENCES zones,
    ADD COLUMN through_lockdown boolean NOT NULL DEFAULT false,
    ADD CHECK (num_nonnulls(account_id, group_id) = 1),
    ADD CHECK (num_nonnulls(zone_id, door_id) = 1),
    ADD UNIQUE NULLS NOT DISTINCT (account_id, group_id, zone_id, door_id);
CREATE INDEX ON grants (group_id);
CREATE INDEX ON grants (door_id);
CREATE INDEX ON grants (zone_id);

-- Two people who pass together share an entry.
ALTER TABLE entries DROP CONSTRAINT entries_pkey, ADD PRIMARY KEY (entry_id, account_id);

-- Who was where: the row that holds now ends at 2^62. `since_ms` is when the person passed, and
-- `from_ms` when it was taken down: later where an entry that failed gave the row before it back.
CREATE TABLE presences (
    presence_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    zone_id id16 NOT NULL REFERENCES zones,
    account_id id16 NOT NULL,
    inside boolean NOT NULL,
    since_ms bigint NOT NULL,
    from_ms bigint NOT NULL,
    until_ms bigint NOT NULL DEFAULT 4611686018427387904,
    entry_id id16 NOT NULL,
    replaces bigint REFERENCES presences
);
CREATE UNIQUE INDEX presences_now ON presences (zone_id, account_id)
    WHERE until_ms = 4611686018427387904;
CREATE INDEX ON presences (zone_id, until_ms);
CREATE INDEX ON presences (entry_id);
CREATE INDEX ON presences (replaces);

-- People who were verified at a door that opens for two only.
CREATE TABLE waits (
    wait_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    door_id id16 NOT NULL REFERENCES doors,
    account_id id16 NOT NULL,
    at_ms bigint NOT NULL,
    until_ms bigint NOT NULL DEFAULT 4611686018427387904
);
CREATE INDEX ON waits (door_id, until_ms, at_ms);

-- kind: service.alarms.AlarmKind
CREATE TABLE alarms (
    alarm_id id16 PRIMARY KEY,
    kind text NOT NULL,
    at_ms bigint NOT NULL,
    terminal_id id16 NOT NULL,
    door_id id16,
    attempt_id id16,
    account_id id16,
    acknowledged_at_ms bigint
);
CREATE INDEX ON alarms (at_ms, alarm_id);
CREATE INDEX ON alarms (terminal_id) WHERE acknowledged_at_ms IS NULL;

ALTER TABLE accounts ADD COLUMN duress_hash text;

-- What doors report, each once and in each terminal's order; event: wire.messages.DoorEventKind.
-- head: of the chain, this record included.
CREATE TABLE door_records (
    terminal_id id16 NOT NULL REFERENCES terminals,
    sequence bigint NOT NULL CHECK (sequence > 0),
    head digest32 NOT NULL,
    door_id id16 NOT NULL,
    event smallint NOT NULL,
    offline boolean NOT NULL,
    attempt_id id16,
    at_ms bigint NOT NULL,
    received_at_ms bigint NOT NULL,
    PRIMARY KEY (terminal_id, sequence)
);
CREATE INDEX ON door_records (door_id, at_ms);
