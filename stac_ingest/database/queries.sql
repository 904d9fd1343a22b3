-- Every query that is ours, by name; parameters are named as in Python.

-- open_upload --
INSERT INTO uploads (id, collection, item, image, options)
VALUES (%(id)s, %(collection)s, %(item)s, %(image)s, %(options)s);

-- open_file --
INSERT INTO upload_files (upload, index, kind, name, expected)
VALUES (%(upload)s, %(index)s, %(kind)s, %(name)s, %(expected)s);

-- find_open_upload --
SELECT id::text, status FROM uploads
WHERE collection = %(collection)s AND item = %(item)s AND status IN ('transferring', 'pending', 'running');

-- get_upload --
SELECT id::text, collection, item, status, image, options, attempt, problem, created, modified
FROM uploads WHERE id = %(id)s;

-- lock_upload --
SELECT id::text, status, publishing,
       EXISTS (SELECT FROM upload_events WHERE upload = uploads.id AND type = 'queue') AS submitted
FROM uploads WHERE id = %(id)s FOR UPDATE;

-- list_uploads --
SELECT id::text, collection, item, status, image, options, attempt, problem, created, modified
FROM uploads
WHERE (%(collection)s::text IS NULL OR collection = %(collection)s)
  AND (%(item)s::text IS NULL OR item = %(item)s)
  AND (%(status)s::text IS NULL OR status = %(status)s)
  AND (%(ids)s::uuid[] IS NULL OR id = ANY (%(ids)s::uuid[]))
  AND (%(before)s::timestamptz IS NULL OR (created, id) < (%(before)s::timestamptz, %(before_id)s::uuid))
ORDER BY created DESC, id DESC LIMIT %(limit)s;

-- get_files --
SELECT index, kind, name, expected, size, sha256, staged FROM upload_files WHERE upload = %(id)s ORDER BY index;

-- get_events --
SELECT id::text, at AS event_datetime, component, type AS event_type, severity, message, share
FROM upload_events WHERE upload = %(id)s AND id > %(after)s ORDER BY upload_events.id;

-- receive_file --
UPDATE upload_files SET size = %(size)s, sha256 = %(sha256)s, staged = %(staged)s
WHERE upload = %(id)s AND index = %(index)s;

-- touch_upload --
UPDATE uploads SET modified = now() WHERE id = %(id)s;

-- set_status --
UPDATE uploads SET status = %(status)s, problem = %(problem)s, lease_until = NULL, modified = now()
WHERE id = %(id)s;

-- claim_upload --
UPDATE uploads
SET status = 'running', attempt = attempt + 1, lease_until = now() + make_interval(secs => %(lease)s), modified = now(),
    publishing = false
WHERE id = %(id)s AND status = 'pending'
RETURNING attempt;

-- renew_lease --
UPDATE uploads SET lease_until = now() + make_interval(secs => %(lease)s)
WHERE id = %(id)s AND status = 'running' AND attempt = %(attempt)s
RETURNING id;

-- begin_publishing --
UPDATE uploads SET publishing = true
WHERE id = %(id)s AND status = 'running' AND attempt = %(attempt)s
RETURNING id;

-- end_attempt --
-- Fenced: an attempt that lost its lease to another changes nothing.
UPDATE uploads SET status = %(status)s, problem = %(problem)s, lease_until = NULL, modified = now()
WHERE id = %(id)s AND status = 'running' AND attempt = %(attempt)s
RETURNING id;

-- add_event --
INSERT INTO upload_events (upload, component, type, severity, message, share)
VALUES (%(id)s, %(component)s, %(type)s, %(severity)s, %(message)s, %(share)s);

-- try_sweep_lock --
SELECT pg_try_advisory_xact_lock(hashtext('stac-ingest sweep')) AS locked;

-- abandoned_uploads --
SELECT id::text, attempt FROM uploads WHERE status = 'running' AND lease_until < now() FOR UPDATE SKIP LOCKED;

-- forgotten_uploads --
-- Pending, but no job in the queue will ever take them.
SELECT id::text FROM uploads
WHERE status = 'pending' AND modified < now() - make_interval(secs => %(after)s)
  AND NOT EXISTS (
      SELECT FROM procrastinate_jobs
      WHERE procrastinate_jobs.status = 'todo' AND args->>'upload_id' = uploads.id::text)
FOR UPDATE SKIP LOCKED;

-- unsent_uploads --
SELECT id::text FROM uploads
WHERE status = 'transferring' AND modified < now() - make_interval(secs => %(after)s) FOR UPDATE SKIP LOCKED;

-- get_collection --
SELECT content FROM collections WHERE id = %(id)s;

-- lock_collection --
SELECT content FROM collections WHERE id = %(id)s FOR UPDATE;

-- create_collection --
SELECT pgstac.create_collection(%(collection)s);

-- update_collection --
SELECT pgstac.update_collection(%(collection)s);

-- delete_collection --
SELECT pgstac.delete_collection(%(id)s);

-- find_related --
SELECT EXISTS (SELECT FROM pgstac.items WHERE collection = %(collection)s) AS has_items,
       (SELECT id::text FROM uploads
        WHERE collection = %(collection)s AND status IN ('transferring', 'pending', 'running') LIMIT 1) AS upload;

-- get_item --
SELECT pgstac.get_item(%(item)s, %(collection)s) AS content;

-- read_item --
SELECT collection, id, document, links, plain FROM stac_ingest.documents WHERE collection = $1 AND id = $2;

-- read_collections --
SELECT id, content::text AS content FROM pgstac.collections WHERE $1::text[] IS NULL OR id = ANY ($1);

-- search_collections --
SELECT pgstac.collection_search($1::text::jsonb)::text;

-- read_queryables --
SELECT pgstac.get_queryables($1::text)::text;

-- read_tags --
SELECT tag FROM stac_ingest.tags_in_use() AS tag
WHERE $1::text IS NULL OR EXISTS (SELECT FROM stac_ingest.tagged WHERE tagged.tag = tag.tag AND collection = $1)
LIMIT $2;

-- item_exists --
SELECT EXISTS (SELECT FROM pgstac.items WHERE collection = %(collection)s AND id = %(item)s) AS found;

-- upsert_items --
SELECT pgstac.upsert_items(%(items)s);

-- create_items --
SELECT pgstac.create_items(%(items)s);

-- items_created --
SELECT id, content->'properties'->>'created' AS created FROM pgstac.items
WHERE collection = %(collection)s AND id = ANY (%(items)s);

-- delete_item --
SELECT pgstac.delete_item(%(item)s, %(collection)s);

-- delete_some_items --
-- As pgstac.delete_item does it, but many at once.
DELETE FROM pgstac.items WHERE collection = %(collection)s AND id IN (
    SELECT id FROM pgstac.items WHERE collection = %(collection)s LIMIT %(limit)s);

-- summarise_items --
SELECT count(*) AS count,
       min(datetime) AS start, max(end_datetime) AS "end",
       st_xmin(st_extent(geometry)) AS west, st_ymin(st_extent(geometry)) AS south,
       st_xmax(st_extent(geometry)) AS east, st_ymax(st_extent(geometry)) AS north,
       min(cloud) AS least_cloud, max(cloud) AS most_cloud,
       array_agg(DISTINCT properties->>'platform') AS platforms,
       array_agg(DISTINCT properties->>'proj:code') AS codes,
       array_agg(DISTINCT gsd) AS gsds
FROM (
    SELECT datetime, end_datetime, geometry, properties,
           CASE jsonb_typeof(properties->'eo:cloud_cover') WHEN 'number' THEN (properties->>'eo:cloud_cover')::float END
               AS cloud,
           CASE jsonb_typeof(properties->'gsd') WHEN 'number' THEN (properties->>'gsd')::float END AS gsd
    FROM stac_ingest.documents WHERE collection = %(id)s
) AS item;

-- claim_request --
-- A twin that runs at the same time waits here until the first has ended. A row that was there already has an xmax.
INSERT INTO requests (key, fingerprint) VALUES (%(key)s, %(fingerprint)s)
ON CONFLICT (key) DO UPDATE SET key = excluded.key
RETURNING fingerprint, result, xmax <> 0 AS repeated;

-- keep_result --
UPDATE requests SET result = %(result)s WHERE key = %(key)s;

-- forget_requests --
DELETE FROM requests WHERE created < now() - make_interval(secs => %(after)s);

-- count_items --
SELECT count(*) AS count FROM pgstac.items WHERE collection = %(collection)s;

-- open_deletion --
INSERT INTO deletions (id, collection, objects_total, with_collection)
VALUES (%(id)s, %(collection)s, %(total)s, %(with_collection)s);

-- find_running_deletion --
SELECT id::text FROM deletions WHERE collection = %(collection)s AND status = 'RUNNING';

-- get_deletion --
SELECT id::text, collection, status, attempt, objects_deleted, objects_total, errors, created,
       extract(epoch FROM coalesce(ended, now()) - created)::float AS seconds
FROM deletions WHERE id = %(id)s;

-- list_deletions --
-- One that deleted its collection is found by its id only: a new collection of that name has no past.
SELECT id::text, collection, status, attempt, objects_deleted, objects_total, errors, created,
       extract(epoch FROM coalesce(ended, now()) - created)::float AS seconds
FROM deletions WHERE collection = %(collection)s AND NOT (with_collection AND status = 'SUCCESS')
ORDER BY created DESC, id LIMIT %(limit)s;

-- claim_deletion --
UPDATE deletions SET attempt = attempt + 1, lease_until = now() + make_interval(secs => %(lease)s), woken = now()
WHERE id = %(id)s AND status = 'RUNNING' AND (lease_until IS NULL OR lease_until < now())
RETURNING collection, attempt AS number, with_collection;

-- advance_deletion --
-- Fenced: an attempt that lost its lease to another changes nothing.
UPDATE deletions
SET objects_deleted = objects_deleted + %(count)s, lease_until = now() + make_interval(secs => %(lease)s)
WHERE id = %(id)s AND status = 'RUNNING' AND attempt = %(attempt)s
RETURNING id;

-- end_deletion --
UPDATE deletions SET status = %(status)s, errors = %(errors)s, lease_until = NULL, ended = now()
WHERE id = %(id)s AND status = 'RUNNING' AND attempt = %(attempt)s
RETURNING id;

-- unfinished_deletions --
-- Whose worker was not heard of any more, or that no job in the queue will ever take up.
SELECT id::text, collection, attempt FROM deletions
WHERE status = 'RUNNING' AND (lease_until < now() OR lease_until IS NULL AND (
    woken < now() - make_interval(secs => %(after)s) AND NOT EXISTS (
        SELECT FROM procrastinate_jobs
        WHERE procrastinate_jobs.status = 'todo' AND args->>'deletion_id' = deletions.id::text)))
FOR UPDATE SKIP LOCKED;

-- wake_deletion --
UPDATE deletions SET lease_until = NULL, woken = now() WHERE id = %(id)s;

-- unended_uploads --
SELECT id::text FROM uploads
WHERE collection = %(collection)s AND status IN ('transferring', 'pending', 'running');

-- forget_deletions --
DELETE FROM deletions WHERE collection = %(collection)s AND status <> 'RUNNING';
