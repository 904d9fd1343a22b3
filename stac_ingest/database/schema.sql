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

CREATE OR REPLACE FUNCTION number_of(value jsonb) RETURNS float8 LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE jsonb_typeof(value) WHEN 'number' THEN (value #>> '{}')::float8 END;

-- What searches read: one row an item, and a row for each of its tags. Triggers on pgstac's tables keep them, whoever
-- writes there, in the transaction that writes. Texts are ordered by code points, whatever the database's collation.
CREATE TABLE IF NOT EXISTS documents (
    collection   text COLLATE "C" NOT NULL,
    id           text COLLATE "C" NOT NULL,
    datetime     timestamptz NOT NULL,
    end_datetime timestamptz NOT NULL,
    geometry     public.geometry NOT NULL,
    tags         text[] COLLATE "C",
    properties   jsonb COMPRESSION lz4 NOT NULL,
    -- The item as it is answered, but for its links, in UTF-8.
    document     bytea COMPRESSION lz4 NOT NULL,
    -- Its links, but for those that depend on the address that is asked; null: it has none.
    links        bytea,
    -- Whether the document can be sent as it is. PostgreSQL writes 1e300 as 301 digits, which are another number to many.
    plain        boolean NOT NULL,
    -- What most filters ask for beside place and time.
    cloud_cover  float8 GENERATED ALWAYS AS (number_of(properties->'eo:cloud_cover')) STORED,
    PRIMARY KEY (collection, id)
) WITH (toast_tuple_target = 1024);
CREATE INDEX IF NOT EXISTS documents_newest ON documents (datetime DESC, collection DESC, id DESC);
CREATE INDEX IF NOT EXISTS documents_newest_of_collection ON documents (collection, datetime DESC, id DESC);
CREATE INDEX IF NOT EXISTS documents_by_id ON documents (id);
CREATE INDEX IF NOT EXISTS documents_by_place ON documents USING gist (geometry);
CREATE INDEX IF NOT EXISTS documents_by_tags ON documents USING gin (tags);

-- The newest images with a tag are the first rows of an index, however many or few there are.
CREATE TABLE IF NOT EXISTS tagged (
    tag          text COLLATE "C" NOT NULL,
    datetime     timestamptz NOT NULL,
    collection   text COLLATE "C" NOT NULL,
    id           text COLLATE "C" NOT NULL,
    end_datetime timestamptz NOT NULL,
    extent       box NOT NULL,
    cloud_cover  float8
);
CREATE UNIQUE INDEX IF NOT EXISTS tagged_newest ON tagged (tag, datetime DESC, collection DESC, id DESC)
    INCLUDE (end_datetime, extent, cloud_cover);
CREATE INDEX IF NOT EXISTS tagged_newest_of_collection ON tagged (tag, collection, datetime DESC, id DESC)
    INCLUDE (end_datetime, extent, cloud_cover);

-- How long the longest item lasts. So an item that lasts into a period began at most that long before it, and the index
-- of the datetimes has two ends.
CREATE TABLE IF NOT EXISTS lasting (longest interval NOT NULL);
INSERT INTO lasting SELECT '0' WHERE NOT EXISTS (SELECT FROM lasting);
-- As a function, because the planner evaluates one for its estimates, and no subquery. PostgreSQL's times begin in 4713 BC.
CREATE OR REPLACE FUNCTION earliest(period_start timestamptz) RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN longest < '4000 years' THEN period_start - longest ELSE '-infinity' END FROM stac_ingest.lasting
$$;

-- One row for each transaction that changed items of a collection; one in ten adds them up. Two searches that see the
-- same sum see the same items.
CREATE TABLE IF NOT EXISTS changes (
    collection   text COLLATE "C" NOT NULL,
    transactions bigint NOT NULL DEFAULT 1
);

CREATE OR REPLACE FUNCTION whole_assets(own jsonb, base jsonb) RETURNS jsonb LANGUAGE sql STABLE
SET search_path = pgstac, public AS $$
    SELECT jsonb_object_agg(key, CASE
        WHEN of_item.value IS NULL THEN of_base.value
        WHEN of_base.value IS NULL THEN of_item.value
        WHEN jsonb_typeof(of_item.value) = 'object' AND jsonb_typeof(of_base.value) = 'object' AND NOT EXISTS (
            SELECT FROM jsonb_each(of_item.value) AS member
            WHERE of_base.value ? member.key
              AND (jsonb_typeof(member.value) IN ('object', 'array', 'null') OR member.value = '"𒍟※"')
        ) THEN of_base.value || of_item.value
        ELSE merge_jsonb(of_item.value, of_base.value)
    END)
    FROM jsonb_each(coalesce(own, '{}')) AS of_item FULL JOIN jsonb_each(base) AS of_base USING (key)
$$;

-- An item whole again, as pgstac.content_hydrate makes it, which takes ten times as long: only the assets are merged,
-- and deeply only those in which that makes a difference.
CREATE OR REPLACE FUNCTION whole_item(item pgstac.items) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
DECLARE
    base jsonb := pgstac.collection_base_item(item.collection, (item.content->>'pgstac:base_item')::int);
    whole jsonb := jsonb_build_object('type', 'Feature', 'stac_version', base->'stac_version')
        || (item.content - 'pgstac:base_item')
        || jsonb_build_object('id', item.id, 'collection', item.collection,
                              'geometry', public.st_asgeojson(item.geometry, 20)::jsonb);
BEGIN
    IF jsonb_typeof(base->'assets') = 'object' THEN
        whole := whole || jsonb_build_object('assets', stac_ingest.whole_assets(whole->'assets', base->'assets'));
    END IF;
    RETURN jsonb_strip_nulls(whole);
END
$$;

CREATE OR REPLACE FUNCTION write_document(item pgstac.items) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, stac_ingest, public, pg_temp AS $$
DECLARE
    whole jsonb := whole_item(item);
    links jsonb := whole->'links';
    document text := (whole - 'links')::text;
    tags text[] := CASE WHEN jsonb_typeof(whole->'properties'->'keywords') = 'array'
                        THEN ARRAY(SELECT value #>> '{}' FROM jsonb_array_elements(whole->'properties'->'keywords')
                                   WHERE jsonb_typeof(value) = 'string') END;
BEGIN
    INSERT INTO documents VALUES (
        item.collection, item.id, item.datetime, item.end_datetime, item.geometry, tags, whole->'properties',
        convert_to(document, 'UTF8'),
        CASE WHEN links <> '[]' THEN convert_to(links::text, 'UTF8') END,
        document !~ '[1-9][0-9]{22}'
    ) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN -- pgstac writes items again when it divides a collection anew
        PERFORM remove_document(item.collection, item.id);
        PERFORM write_document(item);
        RETURN;
    END IF;
    IF tags IS NOT NULL THEN
        INSERT INTO tagged
        SELECT tag, item.datetime, item.collection, item.id, item.end_datetime,
               box(point(st_xmin(item.geometry), st_ymin(item.geometry)),
                   point(st_xmax(item.geometry), st_ymax(item.geometry))),
               stac_ingest.number_of(whole->'properties'->'eo:cloud_cover')
        FROM (SELECT DISTINCT unnest(tags) AS tag) AS own;
    END IF;
    IF item.end_datetime > item.datetime THEN
        UPDATE lasting SET longest = item.end_datetime - item.datetime
        WHERE longest < item.end_datetime - item.datetime;
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION remove_document(removed_collection text, removed_id text) RETURNS void
LANGUAGE sql AS $$
    WITH removed AS (
        DELETE FROM stac_ingest.documents WHERE collection = removed_collection AND id = removed_id RETURNING *
    )
    DELETE FROM stac_ingest.tagged USING removed
    WHERE tagged.tag = ANY (removed.tags) AND tagged.datetime = removed.datetime
      AND tagged.collection = removed.collection AND tagged.id = removed.id;
$$;

-- What the rows add up to stays the same, so nobody who reads them takes this for a change. None waits for another.
CREATE OR REPLACE FUNCTION add_up_changes(changed text) RETURNS void LANGUAGE sql AS $$
    WITH free AS (
        SELECT ctid FROM stac_ingest.changes WHERE collection = changed FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM stac_ingest.changes USING free WHERE changes.ctid = free.ctid RETURNING transactions
    )
    INSERT INTO stac_ingest.changes SELECT changed, sum(transactions) FROM gone HAVING count(*) > 0;
$$;

CREATE OR REPLACE FUNCTION follow_item() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    changed text := coalesce(NEW.collection, OLD.collection);
BEGIN
    IF TG_OP <> 'INSERT' THEN
        PERFORM stac_ingest.remove_document(OLD.collection, OLD.id);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        PERFORM stac_ingest.write_document(
            (NEW.id, NEW.geometry, NEW.collection, NEW.datetime, NEW.end_datetime, NEW.content, NEW.private)::pgstac.items
        );
    END IF;
    -- The setting ends with the transaction, so the first row of each says it.
    IF current_setting('stac_ingest.changed', true) IS DISTINCT FROM changed THEN
        PERFORM set_config('stac_ingest.changed', changed, true);
        INSERT INTO stac_ingest.changes (collection) VALUES (changed);
        IF random() < 0.1 THEN
            PERFORM stac_ingest.add_up_changes(changed);
        END IF;
        PERFORM pg_notify('stac_ingest', 'items');
    END IF;
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION follow_collection() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- pgstac drops the tables of its items, for which no other trigger is called.
    IF TG_OP = 'DELETE' THEN
        DELETE FROM stac_ingest.tagged USING stac_ingest.documents
        WHERE documents.collection = OLD.id AND tagged.tag = ANY (documents.tags)
          AND tagged.datetime = documents.datetime AND tagged.collection = OLD.id AND tagged.id = documents.id;
        DELETE FROM stac_ingest.documents WHERE collection = OLD.id;
        INSERT INTO stac_ingest.changes (collection) VALUES (OLD.id);
    END IF;
    PERFORM pg_notify('stac_ingest', 'collection ' || coalesce(NEW.id, OLD.id));
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION follow_queryables() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('stac_ingest', 'queryables');
    RETURN NULL;
END
$$;

-- The tags in use, each once: as many steps along the index as there are tags.
CREATE OR REPLACE FUNCTION tags_in_use() RETURNS SETOF text LANGUAGE sql STABLE AS $$
    WITH RECURSIVE found (tag) AS (
        (SELECT tag FROM stac_ingest.tagged ORDER BY tag LIMIT 1)
        UNION ALL
        SELECT (SELECT tagged.tag FROM stac_ingest.tagged WHERE tagged.tag > found.tag ORDER BY tagged.tag LIMIT 1)
        FROM found WHERE found.tag IS NOT NULL
    )
    SELECT tag FROM found WHERE tag IS NOT NULL
$$;

-- What filters need beside PostgreSQL's own operators. None of them fails, whatever the JSON holds.
CREATE OR REPLACE FUNCTION parsed(document bytea) RETURNS jsonb LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN convert_from(document, 'UTF8')::jsonb;

-- How large the files of an item's images are, as far as it is known; stac.data_assets says which these are.
CREATE OR REPLACE FUNCTION bytes_of(document bytea) RETURNS numeric LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (
    SELECT coalesce(sum((asset->'file:size')::numeric), 0)
    FROM jsonb_path_query(stac_ingest.parsed(document), '$.assets.* ? (@.roles[*] == "data")') AS asset
    WHERE jsonb_typeof(asset->'file:size') = 'number'
);
ALTER TABLE documents ADD COLUMN IF NOT EXISTS bytes numeric GENERATED ALWAYS AS (bytes_of(document)) STORED;

CREATE OR REPLACE FUNCTION time_of(value jsonb) RETURNS timestamptz LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET timezone = 'UTC' AS $$
BEGIN
    RETURN CASE jsonb_typeof(value) WHEN 'string' THEN (value #>> '{}')::timestamptz END;
EXCEPTION WHEN data_exception THEN
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION a_contains(of_item jsonb, given jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN jsonb_typeof(of_item) = 'array' AND jsonb_typeof(given) = 'array' THEN NOT EXISTS (
    SELECT jsonb_array_elements(given) EXCEPT SELECT jsonb_array_elements(of_item)
) END;

CREATE OR REPLACE FUNCTION a_contained_by(of_item jsonb, given jsonb) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN stac_ingest.a_contains(given, of_item);

-- Arrays are compared as sets (OGC 21-065r2 section 7.7).
CREATE OR REPLACE FUNCTION a_equals(of_item jsonb, given jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN stac_ingest.a_contains(of_item, given) AND stac_ingest.a_contains(given, of_item);

CREATE OR REPLACE FUNCTION a_overlaps(of_item jsonb, given jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN jsonb_typeof(of_item) = 'array' AND jsonb_typeof(given) = 'array' THEN EXISTS (
    SELECT jsonb_array_elements(given) INTERSECT SELECT jsonb_array_elements(of_item)
) END;

-- Makes what searches read anew of what the catalog holds.
CREATE OR REPLACE FUNCTION rebuild_documents() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    TRUNCATE stac_ingest.documents, stac_ingest.tagged;
    UPDATE stac_ingest.lasting SET longest = '0';
    PERFORM stac_ingest.write_document(items) FROM pgstac.items;
    INSERT INTO stac_ingest.changes (collection) SELECT id FROM pgstac.collections;
END
$$;

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgname = 'follow_item' AND tgrelid = 'pgstac.items'::regclass) THEN
        CREATE TRIGGER follow_item AFTER INSERT OR UPDATE OR DELETE ON pgstac.items
            FOR EACH ROW EXECUTE FUNCTION stac_ingest.follow_item();
        PERFORM stac_ingest.rebuild_documents();
    END IF;
END
$$;
CREATE OR REPLACE TRIGGER follow_collection AFTER INSERT OR UPDATE OR DELETE ON pgstac.collections
    FOR EACH ROW EXECUTE FUNCTION stac_ingest.follow_collection();
CREATE OR REPLACE TRIGGER follow_queryables AFTER INSERT OR UPDATE OR DELETE ON pgstac.queryables
    FOR EACH STATEMENT EXECUTE FUNCTION stac_ingest.follow_queryables();
