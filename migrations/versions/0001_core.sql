CREATE DOMAIN id16 AS bytea CHECK (octet_length(VALUE) = 16);
CREATE DOMAIN digest32 AS bytea CHECK (octet_length(VALUE) = 32);

CREATE TABLE merchants (
    merchant_id id16 PRIMARY KEY,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 80),
    currency char(3) NOT NULL,
    created_at_ms bigint NOT NULL
);

-- kind: wire.messages.TerminalKind
CREATE TABLE terminals (
    terminal_id id16 PRIMARY KEY,
    kind smallint NOT NULL CHECK (kind BETWEEN 1 AND 4),
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 80),
    merchant_id id16 REFERENCES merchants,
    door_id id16,
    public_key digest32 UNIQUE,
    registration_code_hash digest32 UNIQUE,
    code_expires_at_ms bigint,
    counter bigint NOT NULL DEFAULT 0,
    tokens double precision NOT NULL DEFAULT 0,
    tokens_at_ms bigint NOT NULL DEFAULT 0,
    created_at_ms bigint NOT NULL,
    registered_at_ms bigint,
    revoked_at_ms bigint,
    CHECK ((kind = 1) = (merchant_id IS NOT NULL)),
    CHECK ((kind = 3) = (door_id IS NOT NULL)),
    CHECK ((public_key IS NULL) = (registered_at_ms IS NULL))
);

CREATE TABLE accounts (
    account_id id16 PRIMARY KEY,
    state text NOT NULL CHECK (state IN ('active', 'suspended', 'erased')),
    consent_version text,
    consented_at_ms bigint,
    wrapped_key bytea,
    holder_mode boolean NOT NULL DEFAULT false,
    pin_hash text,
    failures integer NOT NULL DEFAULT 0 CHECK (failures >= 0),
    locked_until_ms bigint NOT NULL DEFAULT 0,
    created_at_ms bigint NOT NULL,
    CHECK ((state = 'erased') = (wrapped_key IS NULL))
);

CREATE TABLE claims (
    claim_hash digest32 PRIMARY KEY,
    account_id id16 NOT NULL REFERENCES accounts
);
CREATE INDEX ON claims (account_id);

CREATE TABLE face_references (
    account_id id16 NOT NULL REFERENCES accounts,
    version smallint NOT NULL CHECK (version BETWEEN 1 AND 5),
    model_id id16 NOT NULL,
    ciphertext bytea NOT NULL,
    created_at_ms bigint NOT NULL,
    PRIMARY KEY (account_id, version)
);

-- level: wire.messages.Level; context and plan: deterministic CBOR as they stand in the challenge
CREATE TABLE challenges (
    challenge_id id16 PRIMARY KEY,
    nonce digest32 NOT NULL,
    terminal_id id16 NOT NULL,
    context bytea NOT NULL,
    plan bytea NOT NULL,
    level smallint NOT NULL,
    pin_required boolean NOT NULL,
    policy_version integer NOT NULL,
    issued_at_ms bigint NOT NULL,
    expires_at_ms bigint NOT NULL,
    consumed_by id16
);
CREATE INDEX ON challenges (expires_at_ms);

CREATE TABLE attempts (
    attempt_id id16 PRIMARY KEY,
    terminal_id id16 NOT NULL,
    purpose smallint NOT NULL CHECK (purpose BETWEEN 1 AND 4),
    evidence_digest digest32 NOT NULL,
    account_id id16,
    denial text,
    decision bytea NOT NULL,
    leaf_hash digest32 NOT NULL UNIQUE,
    decided_at_ms bigint NOT NULL,
    expires_at_ms bigint NOT NULL,
    completion smallint,
    confirmed_at_ms bigint,
    CHECK ((completion IS NULL) = (confirmed_at_ms IS NULL))
);
CREATE INDEX ON attempts (decided_at_ms);

CREATE FUNCTION keep_decision() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE'
       AND (to_jsonb(NEW) - ARRAY['completion', 'confirmed_at_ms'])
         = (to_jsonb(OLD) - ARRAY['completion', 'confirmed_at_ms'])
       AND OLD.completion IS NULL THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'a decision never changes';
END $$;
CREATE TRIGGER keep_decision BEFORE UPDATE OR DELETE ON attempts
    FOR EACH ROW EXECUTE FUNCTION keep_decision();
CREATE TRIGGER keep_decisions BEFORE TRUNCATE ON attempts
    FOR EACH STATEMENT EXECUTE FUNCTION keep_decision();

CREATE TABLE policies (
    version integer PRIMARY KEY,
    document text NOT NULL,
    signature bytea NOT NULL,
    created_at_ms bigint NOT NULL
);

CREATE TABLE api_tokens (
    token_hash digest32 PRIMARY KEY,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 80),
    scopes text[] NOT NULL,
    merchant_id id16 REFERENCES merchants,
    created_at_ms bigint NOT NULL,
    expires_at_ms bigint NOT NULL,
    revoked_at_ms bigint
);
