-- Of the first live attempt, until an operator accepts another.
ALTER TABLE terminals ADD COLUMN camera digest32;
