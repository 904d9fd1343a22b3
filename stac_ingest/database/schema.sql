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

-- Whether the attempt is past the point where it can be canceled.
ALTER TABLE uploads ADD COLUMN IF NOT EXISTS publishing boolean NOT NULL DEFAULT false;

-- An image has at most one upload that has not ended.
CREATE UNIQUE INDEX IF NOT EXISTS uploads_one_open_per_image ON uploads (collection, item)
    WHERE status IN ('transferring', 'pending', 'running');
CREATE INDEX IF NOT EXISTS uploads_unfinished ON uploads (status, modified)
    WHERE status IN ('transferring', 'pending', 'running');
CREATE INDEX IF NOT EXISTS uploads_by_collection ON uploads (collection, created DESC);
CREATE INDEX IF NOT EXISTS uploads_by_age ON uploads (created DESC, id DESC);

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
-- Where in the store the bytes wait that `size` and `sha256` tell of; each transfer writes an object of its own.
ALTER TABLE upload_files ADD COLUMN IF NOT EXISTS staged text;
UPDATE upload_files SET staged = format('staging/%s/%s', upload, index) WHERE staged IS NULL AND sha256 IS NOT NULL;

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
-- How much of the conversion is done, 0 to 1, in events of the type `progress`.
ALTER TABLE upload_events ADD COLUMN IF NOT EXISTS share double precision;

-- One row a deletion of everything that a product has: the truth of its state, as with uploads.
CREATE TABLE IF NOT EXISTS deletions (
    id              uuid PRIMARY KEY,
    collection      text NOT NULL,
    status          text NOT NULL DEFAULT 'RUNNING' CHECK (status IN ('RUNNING', 'SUCCESS', 'FAILURE')),
    attempt         int NOT NULL DEFAULT 0,
    lease_until     timestamptz,
    objects_deleted bigint NOT NULL DEFAULT 0,
    objects_total   bigint NOT NULL,
    errors          text[] NOT NULL DEFAULT '{}',
    created         timestamptz NOT NULL DEFAULT now(),
    woken           timestamptz NOT NULL DEFAULT now(),
    ended           timestamptz
);
-- Whether the collection itself is deleted at the end.
ALTER TABLE deletions ADD COLUMN IF NOT EXISTS with_collection boolean NOT NULL DEFAULT false;
CREATE UNIQUE INDEX IF NOT EXISTS deletions_one_running_per_collection ON deletions (collection)
    WHERE status = 'RUNNING';
CREATE INDEX IF NOT EXISTS deletions_by_collection ON deletions (collection, created DESC);

-- What was asked with an Idempotency-Key, written in the transaction of what it did.
CREATE TABLE IF NOT EXISTS requests (
    key         text PRIMARY KEY,
    fingerprint text NOT NULL,
    result      text,
    created     timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS requests_by_age ON requests (created);

-- Conditions on extra properties, which are JSON of any type: values of different types differ and have no order.
-- pgstac would read both sides as numbers and fail, or as texts and find the text '1' where the number is asked for.
CREATE OR REPLACE FUNCTION extra_property_is(content jsonb, keys text, operator text, given text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN operator = 'isnull' THEN coalesce(found IN ('null', '[]', '{}'), true)
        WHEN found IS NULL OR found = 'null' THEN NULL
        WHEN operator = '=' THEN found = wanted
        WHEN operator = '<>' THEN found <> wanted
        WHEN operator = 'in' THEN found IN (SELECT jsonb_array_elements(wanted))
        WHEN jsonb_typeof(found) <> jsonb_typeof(wanted) THEN NULL
        WHEN operator = 'like' THEN (found #>> '{}') LIKE (wanted #>> '{}')
        WHEN operator = '<' THEN found < wanted
        WHEN operator = '<=' THEN found <= wanted
        WHEN operator = '>' THEN found > wanted
        WHEN operator = '>=' THEN found >= wanted
    END
    FROM (
        SELECT
            content->'properties'->'ingest:extra_properties' #> ARRAY(SELECT jsonb_array_elements_text(keys::jsonb)),
            given::jsonb
    ) AS sides (found, wanted)
$$;
INSERT INTO pgstac.cql2_ops (op, template)
VALUES ('extra_property', 'stac_ingest.extra_property_is(content, %s, %s, %s)')
ON CONFLICT (op) DO UPDATE SET template = excluded.template WHERE cql2_ops.template <> excluded.template;
