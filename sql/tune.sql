-- scann_tune: calibration with the user's own queries.
\getenv abs_srcdir PG_ABS_SRCDIR
\set helpers :abs_srcdir '/sql/include/helpers.sql'
\i :helpers

CREATE TABLE items (id int, v real[]);
INSERT INTO items SELECT i, CASE WHEN i % 100 = 0 THEN NULL ELSE clustered(i, 16) END FROM generate_series(1, 4000) i;
CREATE INDEX items_ip ON items USING scann (v) WITH (num_leaves = 40);
CREATE INDEX items_cosine ON items USING scann (v real_cosine_ops) WITH (num_leaves = 40);
CREATE INDEX items_l2 ON items USING scann (v real_l2_ops) WITH (num_leaves = 40);
-- Queries far from the rows.
CREATE TABLE queries (id int, v real[]);
INSERT INTO queries SELECT i, clustered(-1000 - i, 16, 7, 3) FROM generate_series(1, 200) i;
CREATE TABLE before AS SELECT index, c.* FROM unnest('{items_ip,items_cosine,items_l2}'::regclass[]) index, scann_calibration(index) c;

-- It returns the efforts for LIMIT k. (Of few queries like these, a target beyond 0.995 may be out of reach.)
SELECT index, count(*) AS targets, bool_and(t.recall >= least(t.target_recall, 0.995) - 0.005) AS reached, bool_and(candidates >= 10) AS candidates,
       bool_and(codes BETWEEN 10 AND 4000) AS codes
FROM unnest('{items_ip,items_cosine,items_l2}'::regclass[]) index, scann_tune(index, 'SELECT v FROM queries', 10) t GROUP BY index ORDER BY index;
-- ... which queries use from then on, those of other limits as well.
SELECT b.index, b.k, bool_or((c.candidates, c.margin, c.codes) <> (b.candidates, b.margin, b.codes)) AS changed
FROM before b, scann_calibration(b.index) c WHERE c.k = b.k AND c.target_recall = b.target_recall GROUP BY 1, 2 ORDER BY 1, 2;
SELECT t.target_recall, (t.recall, t.candidates, t.margin, t.codes) = (c.recall, c.candidates, c.margin, c.codes) AS as_stored
FROM scann_tune('items_ip', 'SELECT v FROM queries', 10) t JOIN scann_calibration('items_ip') c USING (target_recall) WHERE c.k = 10 ORDER BY 1;
-- The same queries give the same efforts.
SELECT count(DISTINCT t) FROM generate_series(1, 3), LATERAL (SELECT array_agg(t) t FROM scann_tune('items_l2', 'SELECT v FROM queries', 50) t) t;
-- A session that has the index in its cache notices: rows are easier to find than what is like none.
SET enable_seqscan = off;
CREATE FUNCTION visited(OUT entries bigint) LANGUAGE plpgsql AS $$
BEGIN
  PERFORM id FROM items ORDER BY v <-> probe() LIMIT 10;
  SELECT s.entries FROM scann_scan_stats() s INTO entries;
END $$;
SELECT visited() AS strange \gset
SELECT count(*) FROM scann_tune('items_l2', 'SELECT v FROM items WHERE v IS NOT NULL ORDER BY id LIMIT 500', 10);
SELECT visited() < :strange AS less;
RESET enable_seqscan;
SELECT scann_check('items_ip', true), scann_check('items_l2', true);
-- REINDEX calibrates with rows again.
REINDEX INDEX items_ip;
SELECT count(*) FROM before b JOIN scann_calibration('items_ip') c USING (k, target_recall, recall, candidates, margin, codes) WHERE b.index = 'items_ip'::regclass;

-- k follows LIMIT; the default is 10.
SELECT (SELECT array_agg(t) FROM scann_tune('items_ip', 'SELECT v FROM queries') t)
     = (SELECT array_agg(t) FROM scann_tune('items_ip', 'SELECT v FROM queries', k => 10) t) AS default_k;
SELECT bool_and(candidates >= 100) AS candidates FROM scann_tune('items_ip', 'SELECT v FROM queries', 100);

-- Few queries, and too little memory for many.
SELECT count(*) FROM scann_tune('items_ip', 'SELECT v FROM queries LIMIT 99', 10);
SELECT count(*) FROM scann_tune('items_ip', 'SELECT v FROM queries', 101);
SET maintenance_work_mem = '1MB';
SELECT count(*) FROM scann_tune('items_ip', 'SELECT v FROM queries CROSS JOIN generate_series(1, 10)', 10);
RESET maintenance_work_mem;

-- Rows deleted and not yet removed, and rows inserted since.
DELETE FROM items WHERE id % 3 = 0;
SELECT count(*) FROM scann_tune('items_l2', 'SELECT v FROM queries', 10);
VACUUM items;
INSERT INTO items SELECT i, clustered(i, 16) FROM generate_series(4001, 5000) i;
SELECT count(*) FROM scann_tune('items_l2', 'SELECT v FROM queries', 10);
SELECT scann_check('items_l2', true);

-- An expression, a predicate.
CREATE INDEX items_half ON items USING scann ((v[1:8])) WITH (num_leaves = 20) WHERE id % 2 = 0;
SELECT count(*) FROM scann_tune('items_half', 'SELECT v[1:8] FROM queries', 10);

-- Nothing to tune.
CREATE TABLE small (v real[]);
CREATE INDEX small_v ON small USING scann (v);
SELECT count(*) FROM scann_tune('small_v', 'SELECT v FROM queries', 10);
INSERT INTO small SELECT v FROM queries;
SELECT count(*) FROM scann_tune('small_v', 'SELECT v FROM queries', 10);

-- What is refused.
\set VERBOSITY terse
SELECT arguments, error_of(format('SELECT scann_tune(%s)', arguments)) FROM unnest(ARRAY[
  $$'items_ip', 'SELECT v FROM queries', 0$$,
  $$'items_ip', 'SELECT v FROM queries', -1$$,
  $$'items_ip', 'SELECT v FROM queries', 1001$$,
  $$'items_ip', 'SELECT v FROM queries WHERE false'$$,
  $$'items_ip', 'SELECT NULL::real[] FROM queries'$$,
  $$'items_ip', 'SELECT v[1:8] FROM queries'$$,
  $$'items_ip', 'SELECT v || NULL::real FROM queries'$$,
  $$'items_ip', 'SELECT v || ''NaN''::real FROM queries'$$,
  $$'items_cosine', 'SELECT array_fill(0::real, ''{16}'') FROM queries'$$,
  $$'items_ip', 'SELECT id, v FROM queries'$$,
  $$'items_ip', 'SELECT id FROM queries'$$,
  $$'items_ip', 'SELECT v::float8[] FROM queries'$$,
  $$'items_ip', 'DELETE FROM queries RETURNING v'$$,
  $$'items_ip', 'SET work_mem = 100'$$,
  $$'items_ip', ''$$,
  $$'items_ip', 'SELECT nonsense'$$,
  $$'items', 'SELECT v FROM queries'$$]) arguments;
BEGIN READ ONLY;
SELECT scann_tune('items_ip', 'SELECT v FROM queries');
ROLLBACK;
SELECT count(*) FROM scann_tune('items_ip', NULL);
-- Only the table's owner may, and the queries run with the caller's rights.
CREATE ROLE regress_scann_user;
GRANT SELECT ON items TO regress_scann_user;
SET ROLE regress_scann_user;
SELECT error_of($$SELECT scann_tune('items_ip', 'SELECT v FROM queries')$$);
RESET ROLE;
ALTER TABLE items OWNER TO regress_scann_user;
SET ROLE regress_scann_user;
SELECT error_of($$SELECT scann_tune('items_ip', 'SELECT v FROM queries')$$);
RESET ROLE;
GRANT SELECT ON queries TO regress_scann_user;
SET ROLE regress_scann_user;
SELECT count(*) FROM scann_tune('items_ip', 'SELECT v FROM queries');
RESET ROLE;
DROP FUNCTION visited;
DROP TABLE items, queries, before, small;
DROP ROLE regress_scann_user;
