ALTER TABLE api_tokens
    ADD COLUMN token_id id16 NOT NULL UNIQUE,
    ADD COLUMN allowance double precision NOT NULL DEFAULT 0,
    ADD COLUMN allowance_at_ms bigint NOT NULL DEFAULT 0;

-- Pages are read from the newest row on, by (time, id).
CREATE INDEX ON transfers (credit, created_at_ms, transfer_id);
CREATE INDEX ON attempts (terminal_id, decided_at_ms, attempt_id);
