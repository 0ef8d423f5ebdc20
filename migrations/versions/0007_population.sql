ALTER TABLE terminals ADD COLUMN site text NOT NULL DEFAULT '' CHECK (length(site) <= 80);

CREATE INDEX attempts_enrolments ON attempts (account_id) WHERE purpose = 4 AND denial IS NULL;

CREATE TABLE population_checks (
    check_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    model_id id16 NOT NULL,
    site text NOT NULL,
    at_ms bigint NOT NULL,
    accounts integer NOT NULL CHECK (accounts > 0),
    comparisons bigint NOT NULL CHECK (comparisons >= 0),
    matches bigint NOT NULL CHECK (matches BETWEEN 0 AND comparisons),
    threshold double precision NOT NULL,
    fmr_allowed double precision NOT NULL,
    fmr double precision NOT NULL,
    fmr_lower double precision NOT NULL,
    histogram integer[] NOT NULL
);
CREATE INDEX ON population_checks (at_ms);
