ALTER TABLE ledger_accounts
    DROP CONSTRAINT ledger_accounts_kind_check,
    ADD CHECK (kind IN ('wallet', 'merchant', 'cassette', 'fees', 'suspense', 'funding')),
    ADD CONSTRAINT never_too_much CHECK (balance_minor <= 9007199254740991);

-- posted_minor: what was posted of a hold that was posted in part.
-- content: what was asked for under this id; none in rows from before.
-- act: the leaf hash of the operator's act; an attempt's transfer has the attempt's id instead.
ALTER TABLE transfers
    DROP CONSTRAINT transfers_kind_check,
    ADD CHECK (kind IN ('top_up', 'payment', 'withdrawal', 'refund', 'fee', 'payout',
        'correction')),
    ADD COLUMN posted_minor bigint,
    ADD COLUMN refers_to id16 REFERENCES transfers,
    ADD COLUMN content digest32,
    ADD COLUMN act digest32 REFERENCES audit_entries (leaf_hash) DEFERRABLE INITIALLY DEFERRED,
    ADD CHECK (posted_minor IS NULL OR state = 'posted'
        AND posted_minor > 0 AND posted_minor < amount_minor),
    ADD CHECK (kind <> 'refund' OR refers_to IS NOT NULL),
    ADD CONSTRAINT never_posted_late
        CHECK (state <> 'posted' OR expires_at_ms IS NULL OR closed_at_ms < expires_at_ms)
        NOT VALID;
CREATE INDEX ON transfers (debit, kind, created_at_ms);
CREATE INDEX ON transfers (refers_to) WHERE refers_to IS NOT NULL;
CREATE UNIQUE INDEX ON transfers (act) WHERE act IS NOT NULL;

-- An id that was refused stays refused.
CREATE TABLE refused_transfers (
    transfer_id id16 PRIMARY KEY,
    content digest32 NOT NULL,
    refusal text NOT NULL,
    created_at_ms bigint NOT NULL
);

-- What each terminal brought a merchant or cassette, by days of UTC since 1970-01-01. A row is
-- one terminal's, so that the terminals of one merchant do not wait for each other.
CREATE TABLE terminal_days (
    credit bigint NOT NULL REFERENCES ledger_accounts,
    day integer NOT NULL,
    terminal_id id16 NOT NULL,
    transfers integer NOT NULL,
    amount_minor bigint NOT NULL,
    PRIMARY KEY (credit, day, terminal_id)
);

CREATE TABLE ledger_checks (
    checked_at_ms bigint PRIMARY KEY,
    discrepancies integer NOT NULL CHECK (discrepancies >= 0),
    found jsonb NOT NULL
);

CREATE FUNCTION keep_ledger_account() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE'
       AND (to_jsonb(NEW) - ARRAY['balance_minor', 'held_minor'])
         = (to_jsonb(OLD) - ARRAY['balance_minor', 'held_minor']) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'a ledger account keeps its owner, kind and currency';
END $$;
CREATE TRIGGER keep BEFORE UPDATE OR DELETE ON ledger_accounts
    FOR EACH ROW EXECUTE FUNCTION keep_ledger_account();
CREATE TRIGGER keep_all BEFORE TRUNCATE ON ledger_accounts
    FOR EACH STATEMENT EXECUTE FUNCTION keep_ledger_account();

CREATE FUNCTION keep_refusal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a refusal never changes';
END $$;
CREATE TRIGGER keep BEFORE UPDATE OR DELETE ON refused_transfers
    FOR EACH ROW EXECUTE FUNCTION keep_refusal();
CREATE TRIGGER keep_all BEFORE TRUNCATE ON refused_transfers
    FOR EACH STATEMENT EXECUTE FUNCTION keep_refusal();

CREATE OR REPLACE FUNCTION keep_transfer() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.state = 'pending'
       AND (to_jsonb(NEW) - ARRAY['state', 'closed_at_ms', 'posted_minor'])
         = (to_jsonb(OLD) - ARRAY['state', 'closed_at_ms', 'posted_minor']) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'a closed transfer never changes';
END $$;

-- One currency; and refunds, together, of no more than was posted, back the way it came.
CREATE FUNCTION open_transfer() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    paid transfers%ROWTYPE;
    refunded numeric;
BEGIN
    IF (SELECT count(DISTINCT currency) FROM ledger_accounts
        WHERE ledger_account_id IN (NEW.debit, NEW.credit)) <> 1 THEN
        RAISE EXCEPTION 'a transfer has one currency';
    END IF;
    IF NEW.kind = 'refund' THEN
        SELECT * INTO paid FROM transfers WHERE transfer_id = NEW.refers_to FOR NO KEY UPDATE;
        SELECT coalesce(sum(amount_minor), 0) INTO refunded
            FROM transfers WHERE refers_to = NEW.refers_to AND kind = 'refund';
        IF paid.state = 'posted' AND paid.debit = NEW.credit AND paid.credit = NEW.debit
           AND refunded + NEW.amount_minor <= coalesce(paid.posted_minor, paid.amount_minor) THEN
            RETURN NEW;
        END IF;
        RAISE EXCEPTION 'a refund of more than was posted, or to another account';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER open BEFORE INSERT ON transfers
    FOR EACH ROW EXECUTE FUNCTION open_transfer();

-- At commit a posted transfer has its two postings, equal and opposite, and no other has any.
CREATE OR REPLACE FUNCTION balance_transfer() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    wanted transfers%ROWTYPE;
    moved bigint;
    found bigint[];
BEGIN
    SELECT * INTO wanted FROM transfers WHERE transfer_id = NEW.transfer_id;
    moved := coalesce(wanted.posted_minor, wanted.amount_minor);
    SELECT array_agg(amount_minor ORDER BY amount_minor) INTO found
        FROM postings WHERE transfer_id = NEW.transfer_id;
    IF wanted.state = 'posted' AND EXISTS (
           SELECT FROM postings d JOIN postings c USING (transfer_id)
           WHERE transfer_id = NEW.transfer_id
             AND d.ledger_account_id = wanted.debit AND d.amount_minor = -moved
             AND c.ledger_account_id = wanted.credit AND c.amount_minor = moved)
       AND cardinality(found) = 2
       OR wanted.state <> 'posted' AND found IS NULL THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION 'a transfer whose postings do not balance';
END $$;
