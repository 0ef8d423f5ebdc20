-- completed_minor: what was handed out of a withdrawal, where it is less than was approved.
ALTER TABLE attempts
    ADD COLUMN completed_minor bigint,
    ADD CHECK (completed_minor IS NULL OR completion = 1 AND purpose = 2 AND completed_minor > 0);

CREATE OR REPLACE FUNCTION keep_decision() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE'
       AND (to_jsonb(NEW) - ARRAY['completion', 'completed_minor', 'confirmed_at_ms'])
         = (to_jsonb(OLD) - ARRAY['completion', 'completed_minor', 'confirmed_at_ms'])
       AND OLD.completion IS NULL THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'a decision never changes';
END $$;

ALTER TABLE accounts
    ADD COLUMN pin_failures integer NOT NULL DEFAULT 0 CHECK (pin_failures >= 0),
    ADD COLUMN pin_locked_until_ms bigint NOT NULL DEFAULT 0;

-- face: whether the person's face is asked for; what else is a card or a code, and a PIN.
ALTER TABLE challenges ADD COLUMN face boolean NOT NULL DEFAULT true;

-- factor: wire.messages.Factor; none in rows from before.
ALTER TABLE attempts ADD COLUMN factor smallint CHECK (factor BETWEEN 1 AND 3);
