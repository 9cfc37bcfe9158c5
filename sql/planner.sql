-- Which queries the planner gives to the index, and which not. No setting of the planner is touched unless said.
\getenv abs_srcdir PG_ABS_SRCDIR
\set helpers :abs_srcdir '/sql/include/helpers.sql'
\i :helpers

CREATE TABLE items AS SELECT i AS id, i % 10 AS color, clustered(i, 16) AS v FROM generate_series(1, 10000) i;
CREATE INDEX items_v ON items USING scann (v);
CREATE INDEX items_id ON items (id);
ANALYZE items;

-- The nearest few rows, with a constant vector, a stable function or a parameter; arguments in either order.
SELECT uses_index(format('SELECT id FROM items ORDER BY v <#> %L LIMIT 10', probe()));
EXPLAIN (COSTS OFF) SELECT id FROM items ORDER BY v <#> probe() LIMIT 10;
EXPLAIN (COSTS OFF) SELECT id FROM items ORDER BY probe() <#> v LIMIT 10;
EXPLAIN (COSTS OFF) SELECT id FROM items ORDER BY v <#> probe() LIMIT 100 OFFSET 100;
EXPLAIN (COSTS OFF) SELECT id, v <#> probe() FROM items WHERE color = 3 ORDER BY v <#> probe() LIMIT 10;
SET plan_cache_mode = force_generic_plan;
PREPARE nearest(real[], bigint) AS SELECT id FROM items ORDER BY v <#> $1 LIMIT $2;
EXPLAIN (COSTS OFF) EXECUTE nearest('{}', 10);
DEALLOCATE nearest;
RESET plan_cache_mode;

-- Not an order the index has: another operator, descending, NULLs first, an expression of the distance.
SELECT query, uses_index('SELECT id FROM items ORDER BY ' || query || ' LIMIT 10') FROM unnest(ARRAY[
  'v <-> probe()', 'v <=> probe()', 'v <#> probe() DESC', 'v <#> probe() NULLS FIRST', '(v <#> probe()) + 1', 'id', 'v']) query;
-- A function is not its operator.
SELECT uses_index('SELECT id FROM items ORDER BY negative_inner_product(v, probe()) LIMIT 10');

-- All rows: a sort.
EXPLAIN (COSTS OFF) SELECT id FROM items ORDER BY v <#> probe();
EXPLAIN (COSTS OFF) SELECT id FROM items WHERE color = 3 ORDER BY v <#> probe();
SELECT uses_index('SELECT id FROM items ORDER BY v <#> probe() LIMIT 9000') AS nearly_all;

-- No order: never.
EXPLAIN (COSTS OFF) SELECT count(*) FROM items;
EXPLAIN (COSTS OFF) SELECT id FROM items LIMIT 10;
EXPLAIN (COSTS OFF) SELECT max(v <#> probe()) FROM items;
SELECT uses_index('SELECT id FROM items WHERE v <#> probe() < -3');
BEGIN;
DROP INDEX items_id;
SET LOCAL enable_seqscan = off;
SELECT query, uses_index(query) FROM unnest(ARRAY['SELECT count(*) FROM items', 'SELECT v FROM items', 'SELECT count(*) FROM items WHERE v IS NULL',
  'SELECT id FROM items WHERE v <#> probe() < -3', 'SELECT id FROM items WHERE v = probe()']) query;
ROLLBACK;

-- A filter that a B-tree answers better, and one that it does not.
EXPLAIN (COSTS OFF) SELECT id FROM items WHERE id = 42 ORDER BY v <#> probe() LIMIT 10;
EXPLAIN (COSTS OFF) SELECT id FROM items WHERE id BETWEEN 100 AND 120 ORDER BY v <#> probe() LIMIT 10;
EXPLAIN (COSTS OFF) SELECT id FROM items WHERE id > 1000 ORDER BY v <#> probe() LIMIT 10;

-- Switched off.
BEGIN;
SET LOCAL enable_indexscan = off;
EXPLAIN (COSTS OFF) SELECT id FROM items ORDER BY v <#> probe() LIMIT 10;
ROLLBACK;

-- Comparing every row costs more, but still less than computing every distance.
BEGIN;
SET LOCAL scann.target_recall = 1;
SELECT uses_index('SELECT id FROM items ORDER BY v <#> probe() LIMIT 10') AS every_row;
ROLLBACK;

-- Joins and subqueries.
CREATE TABLE queries AS SELECT i AS query, probe(16, 1000000 + i) AS q FROM generate_series(1, 10) i;
ANALYZE queries;
EXPLAIN (COSTS OFF) SELECT query, (SELECT id FROM items ORDER BY v <#> q LIMIT 1) FROM queries;
SELECT uses_index('SELECT * FROM queries, LATERAL (SELECT id FROM items ORDER BY v <#> q LIMIT 3) l') AS lateral;
SELECT uses_index('SELECT id FROM items WHERE id IN (SELECT id FROM items ORDER BY v <#> probe() LIMIT 3)') AS semijoin;
SELECT uses_index('(SELECT id FROM items ORDER BY v <#> probe() LIMIT 3) UNION ALL SELECT 1') AS union_all;
BEGIN;
EXPLAIN (COSTS OFF) DECLARE c CURSOR FOR SELECT id FROM items ORDER BY v <#> probe() LIMIT 10;
ROLLBACK;
DROP TABLE queries, items;

-- A table of one page.
CREATE TABLE tiny AS SELECT i AS id, clustered(i, 3) AS v FROM generate_series(1, 20) i;
CREATE INDEX ON tiny USING scann (v);
ANALYZE tiny;
SELECT uses_index('SELECT id FROM tiny ORDER BY v <#> probe(3) LIMIT 5') AS tiny;
DROP TABLE tiny;

-- Several indexes on one table and one column: each operator takes its own.
CREATE TABLE items AS SELECT i AS id, i % 2 = 0 AS even, clustered(i, 16) AS v, clustered(-i, 3) AS w, clustered(i, 16)::float8[] AS f8
FROM generate_series(1, 2000) i;
CREATE INDEX items_v_ip ON items USING scann (v);
CREATE INDEX items_v_l2 ON items USING scann (v real_l2_ops);
CREATE INDEX items_w_cosine ON items USING scann (w real_cosine_ops);
-- An expression, and a part of the table.
CREATE INDEX items_f8 ON items USING scann ((f8::real[]) real_l2_ops);
CREATE INDEX items_even ON items USING scann (v real_cosine_ops) WHERE even;
CREATE INDEX items_slice ON items USING scann ((w[1:2]) real_l2_ops);
ANALYZE items;
EXPLAIN (COSTS OFF) SELECT id FROM items ORDER BY v <#> probe() LIMIT 10;
EXPLAIN (COSTS OFF) SELECT id FROM items ORDER BY v <-> probe() LIMIT 10;
EXPLAIN (COSTS OFF) SELECT id FROM items ORDER BY w <=> probe(3) LIMIT 10;
EXPLAIN (COSTS OFF) SELECT id FROM items ORDER BY f8::real[] <-> probe() LIMIT 10;
EXPLAIN (COSTS OFF) SELECT id FROM items WHERE even ORDER BY v <=> probe() LIMIT 10;
EXPLAIN (COSTS OFF) SELECT id FROM items ORDER BY w[1:2] <-> probe(2) LIMIT 10;
SELECT uses_index('SELECT id FROM items ORDER BY v <=> probe() LIMIT 10') AS without_the_predicate;
SET scann.target_recall = 1;
SELECT * FROM compare('SELECT id, v <#> $1 FROM items ORDER BY v <#> $1 LIMIT 10', 3, 16);
SELECT * FROM compare('SELECT id, v <-> $1 FROM items ORDER BY v <-> $1 LIMIT 10', 3, 16);
SELECT * FROM compare('SELECT id, w <=> $1 FROM items ORDER BY w <=> $1 LIMIT 10', 3, 3);
SELECT * FROM compare('SELECT id, f8::real[] <-> $1 FROM items ORDER BY f8::real[] <-> $1 LIMIT 10', 3, 16);
SELECT * FROM compare('SELECT id, v <=> $1 FROM items WHERE even ORDER BY v <=> $1 LIMIT 10', 3, 16);
SELECT * FROM compare('SELECT id, v <=> $1 FROM items WHERE even AND id < 1000 ORDER BY v <=> $1 LIMIT 10', 3, 16);
SELECT * FROM compare('SELECT id, w[1:2] <-> $1 FROM items ORDER BY w[1:2] <-> $1 LIMIT 10', 3, 2);
-- They are kept up: an expression whose vector changes, a row that enters and one that leaves the part.
UPDATE items SET f8 = clustered(id + 7, 16)::float8[], even = NOT even WHERE id % 3 = 0;
SELECT * FROM compare('SELECT id, f8::real[] <-> $1 FROM items ORDER BY f8::real[] <-> $1 LIMIT 10', 3, 16);
SELECT * FROM compare('SELECT id, v <=> $1 FROM items WHERE even ORDER BY v <=> $1 LIMIT 10', 3, 16);
SELECT * FROM compare('SELECT id, v <=> $1 FROM items WHERE even ORDER BY v <=> $1', 1, 16);
-- Two orders at once: the first one from an index, the second by a sort above.
SET enable_seqscan = off;
SELECT count(*) FROM (SELECT id FROM items ORDER BY v <-> probe(), w <=> probe(3) LIMIT 10) q;
RESET enable_seqscan;
RESET scann.target_recall;
DROP TABLE items;

-- Partitioned tables: the partitions' indexes are merged.
CREATE TABLE parted (id int, v real[]) PARTITION BY RANGE (id);
CREATE TABLE parted_low PARTITION OF parted FOR VALUES FROM (0) TO (3000);
CREATE TABLE parted_high PARTITION OF parted FOR VALUES FROM (3000) TO (6000);
INSERT INTO parted SELECT i, clustered(i, 16) FROM generate_series(1, 5999) i;
CREATE INDEX parted_v ON parted USING scann (v real_l2_ops);
ANALYZE parted;
EXPLAIN (COSTS OFF) SELECT id FROM parted ORDER BY v <-> probe() LIMIT 10;
EXPLAIN (COSTS OFF) SELECT id FROM parted WHERE id < 3000 ORDER BY v <-> probe() LIMIT 10;
SELECT rows, missing, misplaced, farther <= 10 AS found FROM compare('SELECT id, v <-> $1 FROM parted ORDER BY v <-> $1 LIMIT 10', 10, 16);
SET scann.target_recall = 1;
SELECT * FROM compare('SELECT id, v <-> $1 FROM parted ORDER BY v <-> $1 LIMIT 10', 5, 16);
SELECT * FROM compare('SELECT id, v <-> $1 FROM parted ORDER BY v <-> $1', 1, 16);
RESET scann.target_recall;
-- Each partition's scan knows the limit above the merge.
SELECT count(*) FROM (SELECT id FROM parted ORDER BY v <-> probe() LIMIT 10) q;
SELECT entries < 3000 AS limit_known FROM scann_scan_stats();
-- A partition attached later.
CREATE TABLE parted_more (id int, v real[]);
INSERT INTO parted_more SELECT i, clustered(i, 16) FROM generate_series(6000, 7999) i;
ALTER TABLE parted ATTACH PARTITION parted_more FOR VALUES FROM (6000) TO (8000);
ANALYZE parted_more;
SELECT count(*) FROM pg_inherits WHERE inhparent = 'parted_v'::regclass;
SELECT rows, missing, misplaced, farther <= 10 AS found FROM compare('SELECT id, v <-> $1 FROM parted ORDER BY v <-> $1 LIMIT 10', 10, 16);
DROP TABLE parted;
