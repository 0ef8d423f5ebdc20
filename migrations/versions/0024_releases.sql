-- Doors that an operator opens by hand. sent: the door was told, once; closed: what it then said.
CREATE TABLE releases (
    release_id id16 PRIMARY KEY,
    door_id id16 NOT NULL REFERENCES doors,
    operator_id id16 NOT NULL REFERENCES operators,
    reason text NOT NULL CHECK (length(reason) BETWEEN 1 AND 200),
    asked_at_ms bigint NOT NULL,
    signature bytea NOT NULL CHECK (octet_length(signature) = 64),
    sent_at_ms bigint,
    closed_at_ms bigint,
    opened boolean,
    CHECK ((closed_at_ms IS NULL) = (opened IS NULL)),
    CHECK (closed_at_ms IS NULL OR sent_at_ms IS NOT NULL)
);
CREATE INDEX ON releases (door_id, asked_at_ms DESC);
