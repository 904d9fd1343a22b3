-- Our own tables. Applied as a whole, in one transaction; every statement can be repeated.

CREATE SCHEMA IF NOT EXISTS stac_ingest;
SET LOCAL search_path TO stac_ingest;

-- One row an upload: the truth of its state. The queue only wakes workers up.
CREATE TABLE IF NOT EXISTS uploads (
    id          uuid PRIMARY KEY,
    collection  text NOT NULL,
    item        text NOT NULL,
    status      text NOT NULL DEFAULT 'transferring'
                CHECK (status IN ('transferring', 'pending', 'running', 'success', 'failure', 'canceled')),
    image       jsonb NOT NULL,
    options     jsonb NOT NULL,
    attempt     int NOT NULL DEFAULT 0,
    lease_until timestamptz,
    problem     jsonb,
    created     timestamptz NOT NULL DEFAULT now(),
    modified    timestamptz NOT NULL DEFAULT now()
);

-- An image has at most one upload that has not ended.
CREATE UNIQUE INDEX IF NOT EXISTS uploads_one_open_per_image ON uploads (collection, item)
    WHERE status IN ('transferring', 'pending', 'running');
CREATE INDEX IF NOT EXISTS uploads_unfinished ON uploads (status, modified)
    WHERE status IN ('transferring', 'pending', 'running');
CREATE INDEX IF NOT EXISTS uploads_by_collection ON uploads (collection, created DESC);

CREATE TABLE IF NOT EXISTS upload_files (
    upload   uuid NOT NULL REFERENCES uploads ON DELETE CASCADE,
    index    int NOT NULL,
    kind     text NOT NULL,
    name     text NOT NULL,
    expected bigint,
    size     bigint,
    sha256   text,
    PRIMARY KEY (upload, index)
);

CREATE TABLE IF NOT EXISTS upload_events (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    upload    uuid NOT NULL REFERENCES uploads ON DELETE CASCADE,
    at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    component text NOT NULL,
    type      text NOT NULL,
    severity  text NOT NULL,
    message   text NOT NULL
);
CREATE INDEX IF NOT EXISTS upload_events_by_upload ON upload_events (upload, id);
