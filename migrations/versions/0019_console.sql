CREATE TABLE operators (
    operator_id id16 PRIMARY KEY,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 80),
    roles text[] NOT NULL CHECK (cardinality(roles) > 0),
    merchant_id id16 REFERENCES merchants,
    created_at_ms bigint NOT NULL,
    disabled_at_ms bigint,
    CHECK (('merchant' = ANY (roles)) = (merchant_id IS NOT NULL)),
    CHECK (merchant_id IS NULL OR cardinality(roles) = 1)
);

CREATE TABLE passkeys (
    credential_id bytea PRIMARY KEY CHECK (octet_length(credential_id) BETWEEN 1 AND 1023),
    operator_id id16 NOT NULL REFERENCES operators,
    public_key bytea NOT NULL CHECK (octet_length(public_key) <= 1024),
    sign_count bigint NOT NULL,
    created_at_ms bigint NOT NULL,
    used_at_ms bigint
);
CREATE INDEX ON passkeys (operator_id);

-- A way in without a passkey, once: kind 'invitation' (expires) or 'recovery' (does not).
CREATE TABLE sign_in_codes (
    code_hash digest32 PRIMARY KEY,
    operator_id id16 NOT NULL REFERENCES operators,
    kind text NOT NULL CHECK (kind IN ('invitation', 'recovery')),
    expires_at_ms bigint NOT NULL
);
CREATE INDEX ON sign_in_codes (operator_id);

CREATE TABLE passkey_ceremonies (
    challenge_hash digest32 PRIMARY KEY,
    expires_at_ms bigint NOT NULL
);

-- enrolling: made by a code, and good for adding a passkey only.
CREATE TABLE console_sessions (
    session_hash digest32 PRIMARY KEY,
    operator_id id16 NOT NULL REFERENCES operators,
    enrolling boolean NOT NULL,
    created_at_ms bigint NOT NULL,
    seen_at_ms bigint NOT NULL
);
CREATE INDEX ON console_sessions (operator_id);

CREATE TABLE policy_proposals (
    proposal_id id16 PRIMARY KEY,
    document text NOT NULL CHECK (length(document) <= 65536),
    base_version integer NOT NULL,
    reason text NOT NULL CHECK (length(reason) BETWEEN 1 AND 200),
    proposed_by id16 NOT NULL REFERENCES operators,
    proposed_at_ms bigint NOT NULL,
    decided_by id16 REFERENCES operators,
    decided_at_ms bigint,
    version integer REFERENCES policies,
    CHECK ((decided_by IS NULL) = (decided_at_ms IS NULL)),
    CHECK (version IS NULL OR decided_by <> proposed_by)
);
CREATE INDEX ON policy_proposals (proposed_at_ms, proposal_id);

CREATE INDEX ON attempts (account_id, decided_at_ms, attempt_id);
