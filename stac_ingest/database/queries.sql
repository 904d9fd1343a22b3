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
SELECT id::text, status, attempt FROM uploads WHERE id = %(id)s FOR UPDATE;

-- list_uploads --
SELECT id::text, collection, item, status, image, options, attempt, problem, created, modified
FROM uploads
WHERE (%(collection)s::text IS NULL OR collection = %(collection)s)
  AND (%(item)s::text IS NULL OR item = %(item)s)
  AND (%(status)s::text IS NULL OR status = %(status)s)
ORDER BY created DESC, id LIMIT %(limit)s;

-- get_files --
SELECT index, kind, name, expected, size, sha256 FROM upload_files WHERE upload = %(id)s ORDER BY index;

-- get_events --
SELECT id::text, at AS event_datetime, component, type AS event_type, severity, message
FROM upload_events WHERE upload = %(id)s AND id > %(after)s ORDER BY upload_events.id;

-- receive_file --
-- Only while the upload still transfers: bytes that come later change nothing.
UPDATE upload_files SET size = %(size)s, sha256 = %(sha256)s
FROM uploads WHERE uploads.id = upload AND upload = %(id)s AND index = %(index)s AND status = 'transferring'
RETURNING index;

-- touch_upload --
UPDATE uploads SET modified = now() WHERE id = %(id)s;

-- set_status --
UPDATE uploads SET status = %(status)s, problem = %(problem)s, lease_until = NULL, modified = now()
WHERE id = %(id)s;

-- claim_upload --
UPDATE uploads
SET status = 'running', attempt = attempt + 1, lease_until = now() + make_interval(secs => %(lease)s), modified = now()
WHERE id = %(id)s AND status = 'pending'
RETURNING attempt;

-- renew_lease --
UPDATE uploads SET lease_until = now() + make_interval(secs => %(lease)s)
WHERE id = %(id)s AND status = 'running' AND attempt = %(attempt)s
RETURNING id;

-- end_attempt --
-- Fenced: an attempt that lost its lease to another changes nothing.
UPDATE uploads SET status = %(status)s, problem = %(problem)s, lease_until = NULL, modified = now()
WHERE id = %(id)s AND status = 'running' AND attempt = %(attempt)s
RETURNING id;

-- add_event --
INSERT INTO upload_events (upload, component, type, severity, message)
VALUES (%(id)s, %(component)s, %(type)s, %(severity)s, %(message)s);

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

-- get_item --
SELECT pgstac.get_item(%(item)s, %(collection)s) AS content;

-- item_exists --
SELECT EXISTS (SELECT FROM pgstac.items WHERE collection = %(collection)s AND id = %(item)s) AS found;

-- create_item --
SELECT pgstac.create_item(%(item)s);

-- upsert_items --
SELECT pgstac.upsert_items(%(items)s);

-- create_items --
SELECT pgstac.create_items(%(items)s);

-- delete_item --
SELECT pgstac.delete_item(%(item)s, %(collection)s);

-- summarise_items --
SELECT count(*) AS count,
       min(datetime) AS start, max(end_datetime) AS "end",
       st_xmin(st_extent(geometry)) AS west, st_ymin(st_extent(geometry)) AS south,
       st_xmax(st_extent(geometry)) AS east, st_ymax(st_extent(geometry)) AS north,
       min((properties->>'eo:cloud_cover')::float) AS least_cloud,
       max((properties->>'eo:cloud_cover')::float) AS most_cloud,
       array_agg(DISTINCT properties->>'platform') AS platforms,
       array_agg(DISTINCT properties->>'proj:code') AS codes,
       array_agg(DISTINCT (properties->>'gsd')::float) AS gsds
FROM (SELECT datetime, end_datetime, geometry, content->'properties' AS properties
      FROM pgstac.items WHERE collection = %(id)s) AS item;
