-- Entries are written with the act that they record; the position is given later, once.
CREATE TABLE audit_entries (
    entry_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    leaf bytea NOT NULL CHECK (octet_length(leaf) BETWEEN 1 AND 4096),
    leaf_hash digest32 NOT NULL UNIQUE,
    position bigint UNIQUE CHECK (position >= 0)
);
CREATE INDEX audit_waiting ON audit_entries (entry_id) WHERE position IS NULL;

-- Perfect subtrees: (level, index) covers the leaves index << level to (index + 1) << level.
CREATE TABLE audit_nodes (
    level smallint NOT NULL,
    index bigint NOT NULL,
    hash digest32 NOT NULL,
    PRIMARY KEY (level, index)
);

CREATE TABLE audit_checkpoints (
    size bigint PRIMARY KEY CHECK (size >= 0),
    root digest32 NOT NULL,
    note bytea NOT NULL,
    created_at_ms bigint NOT NULL
);

CREATE FUNCTION keep_audit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_TABLE_NAME = 'audit_entries' AND TG_OP = 'UPDATE' THEN
        IF OLD.position IS NULL AND NEW.leaf = OLD.leaf AND NEW.leaf_hash = OLD.leaf_hash THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'the audit log never changes';
END $$;

CREATE TRIGGER keep BEFORE UPDATE OR DELETE ON audit_entries
    FOR EACH ROW EXECUTE FUNCTION keep_audit();
CREATE TRIGGER keep BEFORE UPDATE OR DELETE ON audit_nodes
    FOR EACH ROW EXECUTE FUNCTION keep_audit();
CREATE TRIGGER keep BEFORE UPDATE OR DELETE ON audit_checkpoints
    FOR EACH ROW EXECUTE FUNCTION keep_audit();
CREATE TRIGGER keep_all BEFORE TRUNCATE ON audit_entries
    FOR EACH STATEMENT EXECUTE FUNCTION keep_audit();
CREATE TRIGGER keep_all BEFORE TRUNCATE ON audit_nodes
    FOR EACH STATEMENT EXECUTE FUNCTION keep_audit();
CREATE TRIGGER keep_all BEFORE TRUNCATE ON audit_checkpoints
    FOR EACH STATEMENT EXECUTE FUNCTION keep_audit();
