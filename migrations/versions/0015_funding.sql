ALTER TABLE ledger_accounts
    DROP CONSTRAINT ledger_accounts_kind_check,
    ADD CONSTRAINT ledger_accounts_kind_check CHECK (
        kind IN ('wallet', 'merchant', 'cassette', 'fees', 'suspense', 'funding', 'source'));

-- sealed: what the processor knows the customer by, under the account's data key.
CREATE TABLE funding_sources (
    account_id id16 PRIMARY KEY REFERENCES accounts,
    processor text NOT NULL CHECK (processor IN ('stripe', 'iso8583')),
    sealed bytea NOT NULL,
    attached_at_ms bigint NOT NULL
);

-- What a processor has of a transfer whose one side is a source: service.funding.processor.Side.
-- due_at_ms: not before then is there something to do; NULL where both sides are closed.
-- leased_until_ms: until then somebody may be speaking with the processor about it.
CREATE TABLE processor_entries (
    transfer_id id16 PRIMARY KEY REFERENCES transfers,
    processor text NOT NULL CHECK (processor IN ('stripe', 'iso8583')),
    trace integer NOT NULL CHECK (trace BETWEEN 1 AND 999999),
    asked_at_ms bigint NOT NULL,
    day bigint GENERATED ALWAYS AS (asked_at_ms / 86400000) STORED,
    side text NOT NULL DEFAULT 'asked' CHECK (side IN (
        'asked', 'authorized', 'captured', 'declined', 'released', 'refunded', 'refused')),
    reference text CHECK (length(reference) <= 255),
    confirmed_minor bigint NOT NULL DEFAULT 0 CHECK (confirmed_minor >= 0),
    refusal text,
    told_at_ms bigint,
    tries integer NOT NULL DEFAULT 0,
    leased_until_ms bigint NOT NULL DEFAULT 0,
    due_at_ms bigint,
    UNIQUE (processor, day, trace)
);
CREATE INDEX ON processor_entries (due_at_ms) WHERE due_at_ms IS NOT NULL;
CREATE INDEX ON processor_entries (asked_at_ms);

CREATE FUNCTION keep_processor_entry() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND (NEW.transfer_id, NEW.processor, NEW.trace, NEW.asked_at_ms)
        = (OLD.transfer_id, OLD.processor, OLD.trace, OLD.asked_at_ms) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'what a processor was asked never changes';
END $$;
CREATE TRIGGER keep BEFORE UPDATE OR DELETE ON processor_entries
    FOR EACH ROW EXECUTE FUNCTION keep_processor_entry();
CREATE TRIGGER keep_all BEFORE TRUNCATE ON processor_entries
    FOR EACH STATEMENT EXECUTE FUNCTION keep_processor_entry();

-- An event that was taken is never taken again.
CREATE TABLE processor_events (
    event_id text PRIMARY KEY CHECK (length(event_id) <= 128),
    received_at_ms bigint NOT NULL
);
CREATE INDEX ON processor_events (received_at_ms);

-- An attempt that was verified, and whose money is at a processor: what its decision needs.
CREATE TABLE reservations (
    attempt_id id16 PRIMARY KEY REFERENCES transfers (transfer_id),
    terminal_id id16 NOT NULL,
    account_id id16 NOT NULL,
    evidence_digest digest32 NOT NULL,
    context bytea NOT NULL,
    policy_version integer NOT NULL,
    factor smallint NOT NULL CHECK (factor BETWEEN 1 AND 3),
    lives_ms bigint NOT NULL,
    enrolled_model id16,
    posts boolean NOT NULL,
    reserved_at_ms bigint NOT NULL
);

CREATE FUNCTION keep_reservation() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a reservation never changes';
END $$;
CREATE TRIGGER keep BEFORE UPDATE OR DELETE ON reservations
    FOR EACH ROW EXECUTE FUNCTION keep_reservation();
CREATE TRIGGER keep_all BEFORE TRUNCATE ON reservations
    FOR EACH STATEMENT EXECUTE FUNCTION keep_reservation();
