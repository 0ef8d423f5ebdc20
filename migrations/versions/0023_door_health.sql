-- Whether the lock lets people through without power; null where the terminal was not told.
ALTER TABLE door_beats ADD COLUMN fail_safe boolean;
