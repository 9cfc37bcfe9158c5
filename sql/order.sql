-- Rows come in the order of their exact distances, the same ones as a sequential scan's, for each metric; and the row
-- identifiers that an ordered scan gives can be trusted (ctid, locks, DELETE).
\getenv abs_srcdir PG_ABS_SRCDIR
\set helpers :abs_srcdir '/sql/include/helpers.sql'
\i :helpers

CREATE TABLE items AS SELECT i AS id, clustered(i, 24) AS v FROM generate_series(1, 4000) i;
CREATE INDEX items_ip ON items USING scann (v);
CREATE INDEX items_cosine ON items USING scann (v real_cosine_ops);
CREATE INDEX items_l2 ON items USING scann (v real_l2_ops);
ANALYZE items;

-- No setting touched: all rows, in order, at least nine of ten the nearest ones.
SELECT rows, missing, misplaced, farther <= 30 AS found FROM compare('SELECT id, v <#> $1 FROM items ORDER BY v <#> $1 LIMIT 10', 30, 24);
SELECT rows, missing, misplaced, farther <= 30 AS found FROM compare('SELECT id, v <=> $1 FROM items ORDER BY v <=> $1 LIMIT 10', 30, 24);
SELECT rows, missing, misplaced, farther <= 30 AS found FROM compare('SELECT id, v <-> $1 FROM items ORDER BY v <-> $1 LIMIT 10', 30, 24);
SELECT rows, missing, misplaced, farther <= 10 AS found FROM compare('SELECT id, v <#> $1 FROM items ORDER BY v <#> $1 LIMIT 1', 30, 24);
SELECT rows, missing, misplaced, farther <= 100 AS found FROM compare('SELECT id, v <-> $1 FROM items ORDER BY v <-> $1 LIMIT 100', 10, 24);
-- Beyond the hundred rows which all calibration queries know.
SELECT rows, missing, misplaced, farther <= 200 AS found FROM compare('SELECT id, v <-> $1 FROM items ORDER BY v <-> $1 LIMIT 400', 10, 24);
-- The operator's arguments may be the other way round.
SELECT rows, missing, misplaced, farther <= 10 AS found FROM compare('SELECT id, v <=> $1 FROM items ORDER BY $1 <=> v LIMIT 10', 10, 24);

-- More effort finds more; the least effort still returns ten rows in order.
SET scann.target_recall = 0.99;
SELECT rows, missing, misplaced, farther <= 9 AS found FROM compare('SELECT id, v <#> $1 FROM items ORDER BY v <#> $1 LIMIT 10', 30, 24);
SET scann.target_recall = 0.01;
SELECT rows, missing, misplaced FROM compare('SELECT id, v <#> $1 FROM items ORDER BY v <#> $1 LIMIT 10', 30, 24);

-- Everything compared: identical.
SET scann.target_recall = 1;
SELECT * FROM compare('SELECT id, v <#> $1 FROM items ORDER BY v <#> $1 LIMIT 10', 30, 24);
SELECT * FROM compare('SELECT id, v <=> $1 FROM items ORDER BY v <=> $1 LIMIT 10', 30, 24);
SELECT * FROM compare('SELECT id, v <-> $1 FROM items ORDER BY v <-> $1 LIMIT 10', 30, 24);
RESET scann.target_recall;

-- Without LIMIT: every row, in exact order.
SELECT * FROM compare('SELECT id, v <#> $1 FROM items ORDER BY v <#> $1', 2, 24);
SELECT * FROM compare('SELECT id, v <=> $1 FROM items ORDER BY v <=> $1', 2, 24);
SELECT * FROM compare('SELECT id, v <-> $1 FROM items ORDER BY v <-> $1', 2, 24);
-- Even when the queue of candidates does not fit in memory.
SET work_mem = '64kB';
SELECT * FROM compare('SELECT id, v <-> $1 FROM items ORDER BY v <-> $1', 1, 24);
RESET work_mem;

-- With a limit the rounds follow one another until every row has come; only then may the order suffer.
SET enable_seqscan = off;
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM items ORDER BY v <#> probe(24) LIMIT 4000) q;
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM items ORDER BY v <=> probe(24) LIMIT 5000) q;
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM items ORDER BY v <-> probe(24) LIMIT 3999) q;
RESET enable_seqscan;

-- Queries without an order do not use the index, even if nothing else is allowed.
SET enable_seqscan = off;
SELECT count(*) FROM items;
SELECT count(*) FROM items WHERE v IS NOT NULL;
SELECT count(*), sum(id) FROM (SELECT id FROM items ORDER BY v <#> probe(24)) q;
RESET enable_seqscan;

-- ctid, from an index of which every row is compared.
SET scann.target_recall = 1;
CREATE TABLE nearest AS SELECT id, ctid AS tid FROM (SELECT id, ctid, v <-> probe(24) FROM items) q(id, ctid, d) ORDER BY d LIMIT 20;
SELECT * FROM plan_of('SELECT ctid FROM items ORDER BY v <-> probe(24) LIMIT 20');
SELECT count(*) FROM (SELECT ctid FROM items ORDER BY v <-> probe(24) LIMIT 20) q JOIN nearest ON tid = q.ctid;
SELECT count(*) FROM items WHERE ctid = ANY (ARRAY(SELECT ctid FROM items ORDER BY v <-> probe(24) LIMIT 20)) AND id IN (SELECT id FROM nearest);

-- FOR UPDATE SKIP LOCKED.
SELECT * FROM plan_of('SELECT id FROM items ORDER BY v <-> probe(24) LIMIT 20 FOR UPDATE SKIP LOCKED');
BEGIN;
SELECT count(*) FROM (SELECT id FROM items ORDER BY v <-> probe(24) LIMIT 20 FOR UPDATE SKIP LOCKED) q JOIN nearest USING (id);
SELECT count(*) FROM items WHERE xmax <> 0;
ROLLBACK;

-- UPDATE and DELETE of the nearest rows.
BEGIN;
WITH victims AS (SELECT ctid FROM items ORDER BY v <-> probe(24) LIMIT 20)
DELETE FROM items WHERE ctid IN (SELECT ctid FROM victims);
SELECT count(*), (SELECT count(*) FROM nearest JOIN items USING (id)) AS left_over FROM items;
ROLLBACK;
BEGIN;
UPDATE items SET id = -id WHERE ctid = ANY (ARRAY(SELECT ctid FROM items ORDER BY v <-> probe(24) LIMIT 20));
SELECT count(*) FROM items JOIN nearest ON items.id = -nearest.id;
SELECT count(*) FROM (SELECT id FROM items ORDER BY v <-> probe(24) LIMIT 20) q WHERE id < 0;
ROLLBACK;
DROP TABLE nearest;

-- Duplicates: each comes as often as there are rows.
CREATE TABLE copies AS SELECT i AS id, clustered(i % 7, 24) AS v FROM generate_series(1, 2000) i;
CREATE INDEX copies_v ON copies USING scann (v real_l2_ops);
ANALYZE copies;
SELECT * FROM compare('SELECT id, v <-> $1 FROM copies ORDER BY v <-> $1', 2, 24);
SELECT * FROM compare('SELECT id, v <-> $1 FROM copies ORDER BY v <-> $1 LIMIT 500', 2, 24);
RESET scann.target_recall;
SELECT rows, missing, misplaced FROM compare('SELECT id, v <-> $1 FROM copies ORDER BY v <-> $1 LIMIT 500', 2, 24);
DROP TABLE copies, items;
