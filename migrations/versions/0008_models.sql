ALTER TABLE face_references DROP CONSTRAINT face_references_pkey;
ALTER TABLE face_references ADD PRIMARY KEY (account_id, model_id, version);
