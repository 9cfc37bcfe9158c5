-- Rows without a distance: NULL vectors, and zero vectors under cosine distance. They are indexed and come last, NaN before
-- NULL, as in a sequential plan; a query without a direction, or a NULL one, gives every row.
\getenv abs_srcdir PG_ABS_SRCDIR
\set helpers :abs_srcdir '/sql/include/helpers.sql'
\i :helpers

-- A query's (id, distance) as text, with and without the index.
CREATE FUNCTION both_plans(query text, OUT rows bigint, OUT nans bigint, OUT nulls bigint, OUT same_rows boolean, OUT same_distances boolean)
LANGUAGE plpgsql AS $$
DECLARE
  plain text[];
  plain_ids bigint[];
  indexed text[];
  indexed_ids bigint[];
  aggregates text := 'SELECT array_agg(coalesce(round(distance::numeric, 9)::text, ''NULL'') ORDER BY n), array_agg(id ORDER BY n)
    FROM (SELECT *, row_number() OVER () FROM (' || query || ') q) q(id, distance, n)';
BEGIN
  PERFORM set_config('enable_indexscan', 'off', true), set_config('enable_seqscan', 'on', true);
  EXECUTE aggregates INTO plain, plain_ids;
  PERFORM set_config('enable_indexscan', 'on', true), set_config('enable_seqscan', 'off', true);
  IF NOT uses_index(query) THEN RAISE EXCEPTION 'no index is used'; END IF;
  EXECUTE aggregates INTO indexed, indexed_ids;
  PERFORM set_config('enable_seqscan', 'on', true);
  rows := cardinality(indexed_ids);
  nans := (SELECT count(*) FROM unnest(indexed) d WHERE d = 'NaN');
  nulls := (SELECT count(*) FROM unnest(indexed) d WHERE d = 'NULL');
  same_rows := (SELECT array_agg(id ORDER BY id) FROM unnest(plain_ids) id) = (SELECT array_agg(id ORDER BY id) FROM unnest(indexed_ids) id);
  same_distances := plain = indexed;
END $$;

CREATE TABLE items (id int, v real[]);
INSERT INTO items SELECT i, CASE WHEN i % 50 = 0 THEN NULL WHEN i % 50 = 1 THEN array_fill(0::real, '{16}') ELSE clustered(i, 16) END
FROM generate_series(1, 2000) i;
CREATE INDEX items_ip ON items USING scann (v);
CREATE INDEX items_cosine ON items USING scann (v real_cosine_ops);
CREATE INDEX items_l2 ON items USING scann (v real_l2_ops);
ANALYZE items;

-- All rows; with a limit that reaches into the rows without a distance; inserted ones as well.
SELECT * FROM both_plans('SELECT id, v <#> probe() FROM items ORDER BY v <#> probe()');
SELECT * FROM both_plans('SELECT id, v <=> probe() FROM items ORDER BY v <=> probe()');
SELECT * FROM both_plans('SELECT id, v <-> probe() FROM items ORDER BY v <-> probe()');
SET scann.target_recall = 1;
SELECT rows, nans, nulls, same_distances FROM both_plans('SELECT id, v <=> probe() FROM items ORDER BY v <=> probe() LIMIT 1970');
INSERT INTO items SELECT 10000 + i, NULL FROM generate_series(1, 1000) i;
INSERT INTO items SELECT 20000 + i, array_fill(0::real, '{16}') FROM generate_series(1, 1000) i;
SELECT * FROM both_plans('SELECT id, v <=> probe() FROM items ORDER BY v <=> probe()');
SELECT * FROM both_plans('SELECT id, v <#> probe() FROM items ORDER BY v <#> probe()');
SET work_mem = '64kB';
SELECT * FROM both_plans('SELECT id, v <=> probe() FROM items ORDER BY v <=> probe()');
RESET work_mem;
RESET scann.target_recall;
SELECT rows, nans, nulls, same_rows FROM both_plans('SELECT id, v <=> probe() FROM items ORDER BY v <=> probe() LIMIT 4000');

-- Filters on the vector itself.
SELECT * FROM both_plans('SELECT id, v <=> probe() FROM items WHERE v IS NULL ORDER BY v <=> probe()');
SELECT * FROM both_plans('SELECT id, v <=> probe() FROM items WHERE v IS NULL ORDER BY v <=> probe() LIMIT 5000');
SELECT * FROM both_plans('SELECT id, v <=> probe() FROM items WHERE v IS NOT NULL ORDER BY v <=> probe()');
SELECT * FROM both_plans('SELECT id, v <-> probe() FROM items WHERE v = array_fill(0::real, ''{16}'') ORDER BY v <-> probe()');

-- A zero query is an ordinary one for inner product and Euclidean distance, and gives NaN under cosine distance.
SELECT * FROM both_plans($$SELECT id, v <#> array_fill(0::real, '{16}') FROM items ORDER BY v <#> array_fill(0::real, '{16}')$$);
SELECT * FROM both_plans($$SELECT id, v <-> array_fill(0::real, '{16}') FROM items ORDER BY v <-> array_fill(0::real, '{16}')$$);
SELECT * FROM both_plans($$SELECT id, v <=> array_fill(0::real, '{16}') FROM items ORDER BY v <=> array_fill(0::real, '{16}')$$);
SELECT count(*) FROM (SELECT id FROM items ORDER BY v <=> array_fill(0::real, '{16}') LIMIT 10) q;
SELECT count(*) FROM (SELECT id FROM items ORDER BY v <#> array_fill(0::real, '{16}') LIMIT 10) q;

-- A NULL query: NULL distances, every row.
CREATE FUNCTION no_vector() RETURNS real[] LANGUAGE plpgsql STABLE AS $$ BEGIN RETURN NULL; END $$;
SELECT * FROM both_plans('SELECT id, v <#> no_vector() FROM items ORDER BY v <#> no_vector()');
SELECT * FROM both_plans('SELECT id, v <=> no_vector() FROM items ORDER BY v <=> no_vector()');
SELECT count(*), count(d) FROM (SELECT v <-> no_vector() FROM items ORDER BY v <-> no_vector() LIMIT 10) q(d);
SET plan_cache_mode = force_generic_plan;
PREPARE nearest(real[]) AS SELECT v <=> $1 AS distance FROM items ORDER BY v <=> $1 LIMIT 3;
EXPLAIN (COSTS OFF) EXECUTE nearest(NULL);
EXECUTE nearest(NULL);
DEALLOCATE nearest;
RESET plan_cache_mode;
SELECT count(*) FROM (SELECT id FROM items ORDER BY v <#> NULL::real[] LIMIT 10) q;
-- Among other queries of a rescanned scan.
SELECT n, count(id), count(d) FROM (VALUES (1, NULL), (2, probe()), (3, array_fill(0::real, '{16}')), (4, NULL), (5, probe())) queries(n, q),
  LATERAL (SELECT id, v <=> q AS d FROM items ORDER BY v <=> q LIMIT 5) l GROUP BY n ORDER BY n;

-- Queries that are no vectors of this index.
SET enable_seqscan = off;
SELECT error_of('SELECT id FROM items ORDER BY v <-> probe(15) LIMIT 1');
SELECT error_of($$SELECT id FROM items ORDER BY v <-> '{}' LIMIT 1$$);
SELECT error_of($$SELECT id FROM items ORDER BY v <-> '{{1,2},{3,4}}' LIMIT 1$$);
SELECT error_of($$SELECT id FROM items ORDER BY v <=> array_append(probe(15), NULL) LIMIT 1$$);
SELECT error_of($$SELECT id FROM items ORDER BY v <#> array_append(probe(15), 'NaN') LIMIT 1$$);
SELECT error_of($$SELECT id FROM items ORDER BY v <-> array_append(probe(15), 'Infinity') LIMIT 1$$);
SELECT error_of($$SELECT id FROM items ORDER BY v <-> probe(16001) LIMIT 1$$);
RESET enable_seqscan;

-- Rows go from having a vector to having none, and back.
BEGIN;
UPDATE items SET v = NULL WHERE id <= 100;
UPDATE items SET v = clustered(id, 16) WHERE id > 20000;
SELECT * FROM both_plans('SELECT id, v <=> probe() FROM items ORDER BY v <=> probe()');
ROLLBACK;
DELETE FROM items WHERE v IS NULL OR id > 20000;
VACUUM items;
SELECT * FROM both_plans('SELECT id, v <=> probe() FROM items ORDER BY v <=> probe()');
INSERT INTO items SELECT 10000 + i, NULL FROM generate_series(1, 1000) i;
SELECT * FROM both_plans('SELECT id, v <=> probe() FROM items ORDER BY v <=> probe()');
DROP TABLE items;

-- Nothing but NULL vectors; then one vector.
CREATE TABLE blank (id int, v real[]);
INSERT INTO blank SELECT i, NULL FROM generate_series(1, 1500) i;
CREATE INDEX blank_v ON blank USING scann (v real_cosine_ops);
SELECT * FROM both_plans('SELECT id, v <=> probe() FROM blank ORDER BY v <=> probe()');
INSERT INTO blank VALUES (0, array_fill(0::real, '{16}'));
SELECT * FROM both_plans('SELECT id, v <=> probe() FROM blank ORDER BY v <=> probe()');
INSERT INTO blank VALUES (-1, clustered(1, 16));
SELECT * FROM both_plans('SELECT id, v <=> probe() FROM blank ORDER BY v <=> probe()');
REINDEX INDEX blank_v;
SELECT * FROM both_plans('SELECT id, v <=> probe() FROM blank ORDER BY v <=> probe()');
SELECT count(*) FROM (SELECT id FROM blank ORDER BY v <=> probe() LIMIT 2) q;
DROP TABLE blank;
