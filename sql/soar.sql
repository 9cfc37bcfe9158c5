-- The storage parameter soar: every vector has entries in two partitions. Answers are those of any index, and no row is
-- handed out twice.
\getenv abs_srcdir PG_ABS_SRCDIR
\set helpers :abs_srcdir '/sql/include/helpers.sql'
\i :helpers

CREATE TABLE items (id int, kind int, v real[]) WITH (autovacuum_enabled = off);
INSERT INTO items SELECT i, i % 7, CASE WHEN i % 100 = 0 THEN NULL WHEN i % 101 = 0 THEN array_fill(0::real, '{16}') ELSE clustered(i, 16) END
FROM generate_series(1, 4000) i;
CREATE INDEX items_ip ON items USING scann (v) WITH (num_leaves = 40, soar = on);
CREATE INDEX items_cosine ON items USING scann (v real_cosine_ops) WITH (num_leaves = 40, soar);
SELECT pg_get_indexdef('items_cosine'::regclass);
SELECT error_of($$CREATE INDEX ON items USING scann (v) WITH (soar = perhaps)$$);

-- Rows are counted once, entries in partitions twice.
CREATE VIEW contents AS
SELECT index, (i).rows, (i).void_entries, (i).null_rows, (i).rows_at_build, (SELECT sum(rows) FROM scann_partitions(index::regclass)) AS entries, reltuples
FROM unnest('{items_ip,items_cosine}'::text[]) index JOIN pg_class ON relname = index, LATERAL (SELECT scann_index_info(index::regclass) i) i;
SELECT * FROM contents;
SELECT scann_check('items_ip', true), scann_check('items_cosine', true);

-- The answers: with LIMIT, from further rounds, from passes that do not fit work_mem, of all rows.
CREATE FUNCTION test_answers() RETURNS TABLE (query text, misplaced bigint, missing bigint, recalled boolean) LANGUAGE plpgsql AS $$
DECLARE
  operator text; text text;
BEGIN
  FOREACH operator IN ARRAY '{<#>,<=>}'::text[] LOOP
    FOREACH text IN ARRAY ARRAY['LIMIT 1', 'LIMIT 10', 'LIMIT 300', 'WHERE kind = 3 LIMIT 20', 'WHERE kind = 3 LIMIT ALL', 'LIMIT ALL'] LOOP
      query := format('%s %s', operator, text);
      SELECT c.misplaced, c.missing, coalesce(c.farther, 0) <= 0.1 * c.rows INTO misplaced, missing, recalled
      FROM compare(format('SELECT id, v %1$s $1 FROM items %2$s ORDER BY v %1$s $1 %3$s', operator,
                          substring(text from '^WHERE kind = 3'), substring(text from 'LIMIT.*')),
                   CASE WHEN text ~ '[0-9]$' THEN 100 ELSE 3 END, 16) c;
      RETURN NEXT;
    END LOOP;
  END LOOP;
END $$;
SELECT * FROM test_answers();
SET work_mem = '64kB';
SET scann.target_recall = 1;
SELECT * FROM test_answers();
RESET scann.target_recall;
RESET work_mem;
-- Without an order.
SET enable_seqscan = off;
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM items ORDER BY v <#> NULL) q;
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM items ORDER BY v <=> array_fill(0::real, '{16}')) q;
-- A cursor that pulls one round after another.
BEGIN;
DECLARE nearest CURSOR FOR SELECT id FROM items ORDER BY v <#> probe() LIMIT 3000;
MOVE 10 FROM nearest;
MOVE 500 FROM nearest;
MOVE 2490 FROM nearest;
COMMIT;
CREATE TABLE pulled AS SELECT id FROM items ORDER BY v <#> probe() LIMIT 3000;
SELECT count(*), count(DISTINCT id) FROM pulled;
DROP TABLE pulled;
RESET enable_seqscan;
-- Calibration keeps its word: with two entries of each row, too.
SELECT index, scann_evaluate_recall(index, 10, 300) > 0.93 AS reached FROM unnest('{items_ip,items_cosine}'::regclass[]) index;
SELECT t.target_recall, t.recall >= t.target_recall - 0.005 AS reached
FROM scann_tune('items_ip', 'SELECT clustered(500000 + i, 16) FROM generate_series(1, 300) i', 10) t WHERE t.target_recall <= 0.98 ORDER BY 1;
SELECT index, scann_evaluate_recall(index, 10, 300) > 0.93 AS reached FROM unnest('{items_ip,items_cosine}'::regclass[]) index;

-- Changes: inserted rows have two entries, removed ones leave two void.
INSERT INTO items SELECT i, i % 7, clustered(i, 16) FROM generate_series(4001, 5000) i;
UPDATE items SET v = clustered(id + 10000, 16) WHERE id <= 500 AND v IS NOT NULL;
SELECT scann_check('items_ip', true), scann_check('items_cosine', true);
SELECT * FROM test_answers();
DELETE FROM items WHERE id % 3 = 0;
SELECT * FROM test_answers();
VACUUM items;
SELECT * FROM contents;
SELECT count(*), count(v), count(*) FILTER (WHERE v = array_fill(0::real, '{16}')) FROM items;
SELECT scann_check('items_ip', true), scann_check('items_cosine', true);
SELECT * FROM test_answers();
INSERT INTO items SELECT i, i % 7, clustered(i, 16) FROM generate_series(5001, 6000) i;
VACUUM items;
SELECT * FROM contents;
SELECT scann_check('items_ip', true), scann_check('items_cosine', true);
SELECT index, scann_evaluate_recall(index, 10, 300) > 0.93 AS reached FROM unnest('{items_ip,items_cosine}'::regclass[]) index;

-- The parameter takes effect when the index is built; until then inserts follow the index as it is.
ALTER INDEX items_ip SET (soar = off);
ALTER INDEX items_cosine RESET (soar);
INSERT INTO items SELECT i, i % 7, clustered(i, 16) FROM generate_series(6001, 6100) i;
SELECT index, rows, entries FROM contents;
REINDEX INDEX items_ip;
REINDEX INDEX CONCURRENTLY items_cosine;
INSERT INTO items SELECT i, i % 7, clustered(i, 16) FROM generate_series(6101, 6200) i;
SELECT index, rows, entries FROM contents;
ALTER INDEX items_ip SET (soar = on);
INSERT INTO items SELECT i, i % 7, clustered(i, 16) FROM generate_series(6201, 6300) i;
SELECT index, rows, entries FROM contents;
REINDEX INDEX CONCURRENTLY items_ip;
SELECT index, rows, entries FROM contents;
SELECT scann_check('items_ip', true), scann_check('items_cosine', true);
SELECT * FROM test_answers();
DROP VIEW contents;
DROP FUNCTION test_answers;

-- Partitions in groups, built and inserted into.
CREATE INDEX items_many ON items USING scann (v) WITH (num_leaves = 1600, soar = on);
SELECT scann_check('items_many', true), scann_evaluate_recall('items_many', 10, 200) > 0.9 AS recalled;
-- A row inserted goes where the build has put one with the same vector, but for rounding.
CREATE TABLE built AS SELECT index, p.* FROM unnest('{items_ip,items_many}'::text[]) index, scann_partitions(index::regclass) p;
INSERT INTO items SELECT -id, kind, v FROM items;
SELECT b.index, sum(p.rows), sum(abs(p.rows - 2 * b.rows)) <= 20 AS same_places
FROM built b, scann_partitions(b.index::regclass) p WHERE p.partition = b.partition GROUP BY 1 ORDER BY 1;
SELECT scann_check('items_many', true), scann_evaluate_recall('items_many', 10, 200) > 0.9 AS recalled;
DROP TABLE built;
DROP TABLE items;

-- Nowhere to spill to: no partitions, or one only; and rows that are all alike.
CREATE TABLE few (id int, v real[]);
CREATE INDEX few_v ON few USING scann (v) WITH (soar = on);
INSERT INTO few SELECT i, clustered(i, 8) FROM generate_series(1, 1200) i;
SELECT trained, rows, (SELECT sum(rows) FROM scann_partitions('few_v')) AS entries FROM scann_index_info('few_v');
REINDEX INDEX few_v;
SELECT trained, rows, (SELECT sum(rows) FROM scann_partitions('few_v')) AS entries FROM scann_index_info('few_v');
ALTER INDEX few_v SET (num_leaves = 1);
REINDEX INDEX few_v;
SELECT trained, rows, (SELECT sum(rows) FROM scann_partitions('few_v')) AS entries FROM scann_index_info('few_v');
SELECT * FROM compare('SELECT id, v <#> $1 FROM few ORDER BY v <#> $1', 2, 8);
UPDATE few SET v = '{1,2,3,4,5,6,7,8}';
REINDEX INDEX few_v;
SELECT * FROM compare('SELECT id, v <#> $1 FROM few ORDER BY v <#> $1', 2, 8);
SELECT scann_check('few_v', true);
DROP TABLE few;
