CREATE TABLE customer_passkeys (
    credential_id bytea PRIMARY KEY CHECK (octet_length(credential_id) BETWEEN 1 AND 1023),
    account_id id16 NOT NULL REFERENCES accounts,
    public_key bytea NOT NULL CHECK (octet_length(public_key) <= 1024),
    sign_count bigint NOT NULL,
    created_at_ms bigint NOT NULL,
    used_at_ms bigint
);
CREATE INDEX ON customer_passkeys (account_id);

-- A way in without a passkey, once; the newest of an account alone is good.
CREATE TABLE customer_links (
    account_id id16 PRIMARY KEY REFERENCES accounts,
    code_hash digest32 NOT NULL UNIQUE,
    expires_at_ms bigint NOT NULL
);

CREATE TABLE customer_sessions (
    session_hash digest32 PRIMARY KEY,
    account_id id16 NOT NULL REFERENCES accounts,
    created_at_ms bigint NOT NULL,
    seen_at_ms bigint NOT NULL
);
CREATE INDEX ON customer_sessions (account_id);

-- paused: suspended by the customer, who may resume it; what an operator suspended is not.
-- erasure: the leaf hash of the entry that proves it.
ALTER TABLE accounts
    ADD COLUMN paused boolean NOT NULL DEFAULT false,
    ADD COLUMN erasure digest32 REFERENCES audit_entries (leaf_hash),
    ADD CHECK (NOT paused OR state = 'suspended'),
    ADD CHECK (erasure IS NULL OR state = 'erased');
