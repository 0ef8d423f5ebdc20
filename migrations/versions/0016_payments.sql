-- What became of the money stands in the transfer, which has the attempt's id; a row here only
-- says who paid, or that nobody did. hold_ms: how long what was authorized may be captured; null:
-- it is captured at once. expired_at_ms: when it was noticed that nobody paid in time.
CREATE TABLE payment_intents (
    intent_id id16 PRIMARY KEY,
    merchant_id id16 NOT NULL REFERENCES merchants,
    terminal_id id16 REFERENCES terminals,
    site text CHECK (length(site) BETWEEN 1 AND 80),
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    currency char(3) NOT NULL,
    order_reference text NOT NULL CHECK (length(order_reference) BETWEEN 1 AND 80),
    hold_ms bigint CHECK (hold_ms > 0),
    created_at_ms bigint NOT NULL,
    expires_at_ms bigint NOT NULL CHECK (expires_at_ms > created_at_ms),
    attempt_id id16 UNIQUE REFERENCES transfers,
    authorized_at_ms bigint,
    voided_at_ms bigint,
    expired_at_ms bigint,
    CHECK (terminal_id IS NULL OR site IS NULL),
    CHECK ((attempt_id IS NULL) = (authorized_at_ms IS NULL)),
    CHECK (num_nonnulls(attempt_id, voided_at_ms, expired_at_ms) <= 1)
);
CREATE INDEX ON payment_intents (merchant_id, created_at_ms, intent_id);
CREATE INDEX ON payment_intents (merchant_id, order_reference, created_at_ms, intent_id);
CREATE INDEX payment_intents_waiting ON payment_intents (terminal_id, created_at_ms, intent_id)
    WHERE attempt_id IS NULL AND voided_at_ms IS NULL AND expired_at_ms IS NULL;
CREATE INDEX payment_intents_open ON payment_intents (expires_at_ms)
    WHERE attempt_id IS NULL AND voided_at_ms IS NULL AND expired_at_ms IS NULL;

CREATE FUNCTION keep_intent() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE'
       AND num_nonnulls(OLD.attempt_id, OLD.voided_at_ms, OLD.expired_at_ms) = 0
       AND (to_jsonb(NEW)
            - ARRAY['attempt_id', 'authorized_at_ms', 'voided_at_ms', 'expired_at_ms'])
         = (to_jsonb(OLD)
            - ARRAY['attempt_id', 'authorized_at_ms', 'voided_at_ms', 'expired_at_ms']) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'a payment intent keeps its content, and is closed once';
END $$;
CREATE TRIGGER keep BEFORE UPDATE OR DELETE ON payment_intents
    FOR EACH ROW EXECUTE FUNCTION keep_intent();
CREATE TRIGGER keep_all BEFORE TRUNCATE ON payment_intents
    FOR EACH STATEMENT EXECUTE FUNCTION keep_intent();

-- answer: encrypted, since some answers hold what is shown once.
CREATE TABLE idempotency_keys (
    slot digest32 PRIMARY KEY,
    request_digest digest32 NOT NULL,
    status smallint,
    answer bytea,
    created_at_ms bigint NOT NULL
);
CREATE INDEX ON idempotency_keys (created_at_ms);

-- The secrets are derived from the service's key: none is stored. busy_until_ms: nobody else
-- sends to it before then.
CREATE TABLE webhooks (
    webhook_id id16 PRIMARY KEY,
    merchant_id id16 NOT NULL REFERENCES merchants,
    url text NOT NULL CHECK (length(url) BETWEEN 1 AND 1000),
    kinds text[] NOT NULL CHECK (cardinality(kinds) > 0),
    secret_version integer NOT NULL DEFAULT 1 CHECK (secret_version > 0),
    previous_until_ms bigint NOT NULL DEFAULT 0,
    busy_until_ms bigint NOT NULL DEFAULT 0,
    created_at_ms bigint NOT NULL,
    removed_at_ms bigint
);
CREATE INDEX ON webhooks (merchant_id, created_at_ms, webhook_id);

-- body: the bytes that are sent and signed, as they were when it happened.
CREATE TABLE events (
    event_id id16 PRIMARY KEY,
    merchant_id id16 NOT NULL REFERENCES merchants,
    intent_id id16 NOT NULL REFERENCES payment_intents,
    kind text NOT NULL,
    body text NOT NULL,
    created_at_ms bigint NOT NULL
);
CREATE INDEX ON events (merchant_id, created_at_ms, event_id);

CREATE TABLE webhook_deliveries (
    delivery_id id16 PRIMARY KEY,
    webhook_id id16 NOT NULL REFERENCES webhooks,
    event_id id16 NOT NULL REFERENCES events,
    state text NOT NULL CHECK (state IN ('waiting', 'delivered', 'exhausted', 'removed')),
    tries integer NOT NULL DEFAULT 0,
    created_at_ms bigint NOT NULL,
    next_at_ms bigint NOT NULL
);
CREATE INDEX ON webhook_deliveries (webhook_id, created_at_ms, delivery_id);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (webhook_id, next_at_ms)
    WHERE state = 'waiting';
CREATE INDEX ON webhook_deliveries (event_id);

CREATE TABLE webhook_tries (
    delivery_id id16 NOT NULL REFERENCES webhook_deliveries,
    try integer NOT NULL,
    at_ms bigint NOT NULL,
    outcome text NOT NULL,
    status integer,
    duration_ms integer NOT NULL,
    PRIMARY KEY (delivery_id, try)
);

-- What a merchant's postings of one day of UTC (counted since 1970-01-01) come to. digest:
-- SHA-256 of the day's file, which is made again from the postings whenever it is asked for.
CREATE TABLE settlements (
    merchant_id id16 NOT NULL REFERENCES merchants,
    day integer NOT NULL CHECK (day >= 0),
    currency char(3) NOT NULL,
    payments integer NOT NULL,
    payments_minor bigint NOT NULL,
    refunds integer NOT NULL,
    refunds_minor bigint NOT NULL,
    others integer NOT NULL,
    others_minor bigint NOT NULL,
    net_minor bigint NOT NULL,
    digest digest32 NOT NULL,
    settled_at_ms bigint NOT NULL,
    PRIMARY KEY (merchant_id, day),
    CHECK (net_minor = payments_minor + refunds_minor + others_minor)
);
CREATE FUNCTION keep_settlement() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a settlement never changes';
END $$;
CREATE TRIGGER keep BEFORE UPDATE OR DELETE ON settlements
    FOR EACH ROW EXECUTE FUNCTION keep_settlement();
CREATE TRIGGER keep_all BEFORE TRUNCATE ON settlements
    FOR EACH STATEMENT EXECUTE FUNCTION keep_settlement();
