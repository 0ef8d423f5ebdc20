-- Another keyed digest of the claim, of which a door's own is made; null until the claim is shown.
ALTER TABLE claims ADD COLUMN blinded digest32;

-- How long a door of the zone may decide by one bundle; 0: never.
ALTER TABLE zones ADD COLUMN offline_ms bigint NOT NULL DEFAULT 28800000
    CHECK (offline_ms BETWEEN 0 AND 604800000);

-- What was decided by a door alone. denial: wire.denial.Denial; fault: wire.messages.DoorFault.
ALTER TABLE door_records
    ADD COLUMN account_id id16,
    ADD COLUMN denial text,
    ADD COLUMN fault smallint;

-- Each terminal's newest bundles: the one that it has, and those that may be on their way. people: of each in its order the account and a digest of its
-- rights, 24 bytes; header: a digest of all else that it says but who is where.
CREATE TABLE door_bundles (
    terminal_id id16 NOT NULL REFERENCES terminals,
    number bigint NOT NULL CHECK (number > 0),
    issued_at_ms bigint NOT NULL,
    model_id id16 NOT NULL,
    revision bigint NOT NULL,
    header digest32 NOT NULL,
    people bytea NOT NULL,
    PRIMARY KEY (terminal_id, number)
);

-- The newest beat of each door's terminal; at_ms is the service's time, skew_ms how far ahead of it
-- the door's clock is.
CREATE TABLE door_beats (
    terminal_id id16 PRIMARY KEY REFERENCES terminals,
    at_ms bigint NOT NULL,
    skew_ms bigint NOT NULL,
    bundle bigint NOT NULL,
    sequence bigint NOT NULL,
    waiting bigint NOT NULL,
    camera boolean NOT NULL,
    lock boolean NOT NULL
);

-- Counts the commits after which a door's bundle may say something else. Taken at the commit, last
-- of all locks, so nobody waits for long and nobody for each other.
CREATE TABLE door_revision (
    the_one boolean PRIMARY KEY DEFAULT true CHECK (the_one),
    revision bigint NOT NULL
);
INSERT INTO door_revision (revision) VALUES (1);

CREATE FUNCTION count_door_revision() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF coalesce(current_setting('countenance.revised', true), '')
        <> pg_current_xact_id()::text THEN
        UPDATE door_revision SET revision = revision + 1;
        PERFORM set_config('countenance.revised', pg_current_xact_id()::text, true);
    END IF;
    RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER revised AFTER INSERT OR UPDATE OR DELETE ON grants
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION count_door_revision();
CREATE CONSTRAINT TRIGGER revised AFTER INSERT OR UPDATE OR DELETE ON memberships
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION count_door_revision();
CREATE CONSTRAINT TRIGGER revised AFTER INSERT OR UPDATE OR DELETE ON visitors
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION count_door_revision();
CREATE CONSTRAINT TRIGGER revised AFTER INSERT OR DELETE ON holidays
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION count_door_revision();
CREATE CONSTRAINT TRIGGER revised AFTER UPDATE ON sites
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION count_door_revision();
CREATE CONSTRAINT TRIGGER revised AFTER UPDATE ON doors
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION count_door_revision();
CREATE CONSTRAINT TRIGGER revised AFTER INSERT ON policies
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION count_door_revision();
-- A decision locks the zone's row, which is no update; lockouts are, and change no rights.
CREATE CONSTRAINT TRIGGER revised AFTER UPDATE ON zones
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION count_door_revision();
CREATE CONSTRAINT TRIGGER revised AFTER UPDATE ON accounts
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (old.state <> new.state OR old.consent_version IS DISTINCT FROM new.consent_version
        OR old.wrapped_key IS DISTINCT FROM new.wrapped_key)
    EXECUTE FUNCTION count_door_revision();
