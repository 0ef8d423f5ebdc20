CREATE TABLE doors (
    door_id id16 PRIMARY KEY,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 80),
    created_at_ms bigint NOT NULL
);

CREATE TABLE grants (
    account_id id16 NOT NULL,
    door_id id16 NOT NULL REFERENCES doors,
    schedule text NOT NULL,
    time_zone text NOT NULL,
    valid_from_ms bigint NOT NULL,
    valid_until_ms bigint NOT NULL,
    PRIMARY KEY (account_id, door_id),
    CHECK (valid_from_ms < valid_until_ms)
);

CREATE TABLE entries (
    entry_id id16 PRIMARY KEY,
    account_id id16 NOT NULL,
    door_id id16 NOT NULL REFERENCES doors,
    direction smallint NOT NULL CHECK (direction IN (1, 2)),
    state text NOT NULL CHECK (state IN ('commanded', 'confirmed', 'failed')),
    commanded_at_ms bigint NOT NULL,
    closed_at_ms bigint,
    CHECK ((state = 'commanded') = (closed_at_ms IS NULL))
);
CREATE INDEX ON entries (door_id, commanded_at_ms);
