-- Only wallets keep a running balance, locked per customer; the balance of every other
-- account is the sum of its postings, so that one busy merchant does not serialize payments.
CREATE TABLE ledger_accounts (
    ledger_account_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('wallet', 'merchant', 'cassette', 'funding')),
    owner id16 NOT NULL,
    currency char(3) NOT NULL,
    balance_minor bigint,
    held_minor bigint,
    UNIQUE (owner, kind),
    CHECK ((kind = 'wallet') = (balance_minor IS NOT NULL)),
    CHECK ((kind = 'wallet') = (held_minor IS NOT NULL)),
    CONSTRAINT never_overdrawn CHECK (held_minor >= 0 AND balance_minor - held_minor >= 0)
);

CREATE TABLE transfers (
    transfer_id id16 PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('top_up', 'payment', 'withdrawal')),
    state text NOT NULL CHECK (state IN ('pending', 'posted', 'voided', 'expired')),
    debit bigint NOT NULL REFERENCES ledger_accounts,
    credit bigint NOT NULL REFERENCES ledger_accounts,
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    created_at_ms bigint NOT NULL,
    expires_at_ms bigint,
    closed_at_ms bigint,
    CHECK (debit <> credit),
    CHECK ((state = 'pending') = (closed_at_ms IS NULL)),
    CHECK (state = 'posted' OR expires_at_ms IS NOT NULL)
);
CREATE INDEX transfers_pending ON transfers (expires_at_ms) WHERE state = 'pending';

CREATE TABLE postings (
    transfer_id id16 NOT NULL REFERENCES transfers,
    ledger_account_id bigint NOT NULL REFERENCES ledger_accounts,
    amount_minor bigint NOT NULL CHECK (amount_minor <> 0),
    PRIMARY KEY (transfer_id, ledger_account_id)
);
CREATE INDEX ON postings (ledger_account_id);

CREATE FUNCTION keep_transfer() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.state = 'pending'
       AND (to_jsonb(NEW) - ARRAY['state', 'closed_at_ms'])
         = (to_jsonb(OLD) - ARRAY['state', 'closed_at_ms']) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'a closed transfer never changes';
END $$;
CREATE TRIGGER keep BEFORE UPDATE OR DELETE ON transfers
    FOR EACH ROW EXECUTE FUNCTION keep_transfer();
CREATE TRIGGER keep_all BEFORE TRUNCATE ON transfers
    FOR EACH STATEMENT EXECUTE FUNCTION keep_transfer();

CREATE FUNCTION keep_posting() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a posting never changes';
END $$;
CREATE TRIGGER keep BEFORE UPDATE OR DELETE ON postings
    FOR EACH ROW EXECUTE FUNCTION keep_posting();
CREATE TRIGGER keep_all BEFORE TRUNCATE ON postings
    FOR EACH STATEMENT EXECUTE FUNCTION keep_posting();

-- At commit a posted transfer has its two postings, equal and opposite, and no other has any.
CREATE FUNCTION balance_transfer() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    wanted transfers%ROWTYPE;
    found bigint[];
BEGIN
    SELECT * INTO wanted FROM transfers WHERE transfer_id = NEW.transfer_id;
    SELECT array_agg(amount_minor ORDER BY amount_minor) INTO found
        FROM postings WHERE transfer_id = NEW.transfer_id;
    IF wanted.state = 'posted' AND EXISTS (
           SELECT FROM postings d JOIN postings c USING (transfer_id)
           WHERE transfer_id = NEW.transfer_id
             AND d.ledger_account_id = wanted.debit AND d.amount_minor = -wanted.amount_minor
             AND c.ledger_account_id = wanted.credit AND c.amount_minor = wanted.amount_minor)
       AND cardinality(found) = 2
       OR wanted.state <> 'posted' AND found IS NULL THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION 'a transfer whose postings do not balance';
END $$;
CREATE CONSTRAINT TRIGGER balance AFTER INSERT OR UPDATE ON transfers
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION balance_transfer();
CREATE CONSTRAINT TRIGGER balance AFTER INSERT ON postings
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION balance_transfer();
