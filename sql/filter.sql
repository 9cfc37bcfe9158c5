-- Filtered queries: always as many rows as there are, in exact order; identical to a sequential scan at target_recall 1.
\getenv abs_srcdir PG_ABS_SRCDIR
\set helpers :abs_srcdir '/sql/include/helpers.sql'
\i :helpers

CREATE TABLE items AS SELECT i AS id, i % 7 AS color, clustered(i, 16) AS v FROM generate_series(1, 5000) i;
CREATE INDEX items_ip ON items USING scann (v);
CREATE INDEX items_l2 ON items USING scann (v real_l2_ops);
CREATE INDEX items_cosine ON items USING scann (v real_cosine_ops);
ANALYZE items;

-- From filters that most rows pass to filters that ten rows, fewer, or none pass.
CREATE FUNCTION filtered(filter text, operator text DEFAULT '<->', queries int DEFAULT 5)
RETURNS TABLE (rows bigint, missing bigint, misplaced bigint, farther bigint) LANGUAGE sql
AS $$
  SELECT c.* FROM compare(format('SELECT id, v %2$s $1 FROM items WHERE %1$s ORDER BY v %2$s $1 LIMIT 10', filter, operator), queries, 16) c
$$;
SELECT filter, operator, rows, missing, misplaced, farther <= 0.2 * rows AS found
FROM unnest(ARRAY['id % 2 = 0', 'color = 3', 'id % 37 = 5', 'id % 500 = 7', 'id > 4990', 'id % 5000 = 1', 'id < 0', 'color = 3 AND id % 50 < 5',
                  'id % 10 = color']) WITH ORDINALITY f(filter, n), unnest('{<#>,<=>,<->}'::text[]) operator, LATERAL filtered(filter, operator)
ORDER BY n, operator;

SET scann.target_recall = 1;
SELECT filter, operator, r.*
FROM unnest(ARRAY['id % 2 = 0', 'id % 37 = 5', 'id % 500 = 7', 'id % 5000 = 1', 'id < 0']) WITH ORDINALITY f(filter, n),
     unnest('{<#>,<=>,<->}'::text[]) operator, LATERAL filtered(filter, operator) r
ORDER BY n, operator;
RESET scann.target_recall;

-- A filter the planner estimates badly: correlated with the cluster, and far from the query.
SELECT rows, missing, misplaced FROM filtered('v[1] < -1 AND v[2] < 0');
SELECT rows, missing, misplaced FROM filtered('(v <-> $1) > 4');
SELECT rows, missing, misplaced FROM compare('SELECT id, v <-> $1 FROM items WHERE (v <-> $1) > 4 ORDER BY v <-> $1 LIMIT 10 OFFSET 10', 3, 16);
-- The distance within a range.
SELECT rows = expected AS same FROM compare('SELECT id, v <-> $1 FROM items WHERE (v <-> $1) < 2 ORDER BY v <-> $1 LIMIT 5000', 1, 16),
  LATERAL (SELECT count(*) FROM items WHERE (v <-> clustered(1000001, 16)) < 2) e(expected);

-- A join above the scan filters as well.
CREATE TABLE wanted AS SELECT id FROM items WHERE id % 100 = 3;
ANALYZE wanted;
SET enable_seqscan = off;
SET scann.target_recall = 1;
SELECT count(*), bool_and(id % 100 = 3), array_agg(id) = (SELECT array_agg(id) FROM
  (SELECT id FROM items WHERE id % 100 = 3 ORDER BY (v <-> probe()) + 0 LIMIT 10) e) AS same
FROM (SELECT id FROM items WHERE EXISTS (SELECT FROM wanted WHERE wanted.id = items.id) ORDER BY v <-> probe() LIMIT 10) q;
RESET scann.target_recall;
SELECT count(*), bool_and(id % 100 = 3)
FROM (SELECT id FROM items JOIN wanted USING (id) ORDER BY v <-> probe() LIMIT 10) q;
-- All rows, through the filter.
SELECT count(*) FROM (SELECT id FROM items WHERE color = 3 ORDER BY v <-> probe() LIMIT 5000) q;
SELECT count(*) FROM (SELECT id FROM items WHERE color = 3 ORDER BY v <-> probe()) q;
RESET enable_seqscan;

-- max_scan_tuples ends a scan after so many rows, whatever the filter let through.
SET enable_seqscan = off;
SET scann.max_scan_tuples = 100;
SELECT count(*) FROM (SELECT id FROM items ORDER BY v <-> probe() LIMIT 10) q;
SELECT count(*) FROM (SELECT id FROM items ORDER BY v <-> probe() LIMIT 1000) q;
SELECT count(*) FROM (SELECT id FROM items WHERE id < 0 ORDER BY v <-> probe() LIMIT 10) q;
SELECT returned FROM scann_scan_stats();
SELECT count(*) < 10 AS cut_short FROM (SELECT id FROM items WHERE id % 500 = 7 ORDER BY v <-> probe() LIMIT 10) q;
SET scann.max_scan_tuples = 0;
SELECT count(*) FROM (SELECT id FROM items ORDER BY v <-> probe() LIMIT 10) q;
SET scann.max_scan_tuples = -1;
SELECT count(*) FROM (SELECT id FROM items WHERE id % 500 = 7 ORDER BY v <-> probe() LIMIT 10) q;
RESET scann.max_scan_tuples;
RESET enable_seqscan;

-- Rows deleted but not vacuumed away are filtered like any other.
DELETE FROM items WHERE color <> 3;
SET enable_seqscan = off;
SELECT count(*) FROM (SELECT id FROM items ORDER BY v <-> probe() LIMIT 700) q;
SELECT count(*) FROM (SELECT id FROM items ORDER BY v <-> probe() LIMIT 1000) q;
RESET enable_seqscan;
SELECT rows, missing, misplaced, farther <= 10 AS found FROM filtered('true', queries => 10);
DROP TABLE items, wanted;
