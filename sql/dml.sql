-- Changing tables: insert (also from empty), update, delete, vacuum, truncate, rollback. After every step the index agrees with
-- the table, row by row.
\getenv abs_srcdir PG_ABS_SRCDIR
\set helpers :abs_srcdir '/sql/include/helpers.sql'
\i :helpers

-- The index gives every row of the table once, in order, and the checks of its format pass.
CREATE FUNCTION agrees(tab regclass, index regclass, dims int DEFAULT 16) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  result record;
BEGIN
  PERFORM scann_check(index, true);
  SELECT * INTO result FROM compare(format('SELECT id, v <-> $1 FROM %s ORDER BY v <-> $1', tab), 1, dims);
  RETURN format('%s rows, %s missing, %s misplaced, %s farther', result.rows, result.missing, result.misplaced, result.farther);
END $$;

-- From empty. The first vector decides the number of dimensions.
CREATE TABLE items (id int, v real[], note text) WITH (autovacuum_enabled = off);
CREATE INDEX items_v ON items USING scann (v real_l2_ops);
SET enable_seqscan = off;
SELECT count(*) FROM (SELECT id FROM items ORDER BY v <-> probe() LIMIT 10) q;
SELECT count(*) FROM (SELECT id FROM items ORDER BY v <-> probe(5) LIMIT 10) q;
RESET enable_seqscan;
INSERT INTO items VALUES (0, NULL);
INSERT INTO items VALUES (1, clustered(1, 16));
SELECT * FROM error_of($$INSERT INTO items VALUES (-1, clustered(2, 15))$$);
SELECT * FROM error_of($$INSERT INTO items VALUES (-1, '{}')$$);
SELECT * FROM error_of($$INSERT INTO items VALUES (-1, '{{1,2},{3,4}}')$$);
SELECT * FROM error_of($$INSERT INTO items VALUES (-1, array_append(clustered(1, 15), NULL))$$);
SELECT * FROM error_of($$INSERT INTO items VALUES (-1, array_append(clustered(1, 15), 'NaN'))$$);
SELECT * FROM error_of($$INSERT INTO items VALUES (-1, array_append(clustered(1, 15), 'Infinity'))$$);
SELECT * FROM error_of($$INSERT INTO items VALUES (-1, clustered(1, 16001))$$);
SELECT * FROM error_of($$UPDATE items SET v = '{1}' WHERE id = 1$$);
SELECT agrees('items', 'items_v');
INSERT INTO items SELECT i, clustered(i, 16) FROM generate_series(2, 500) i;
SELECT agrees('items', 'items_v');
SELECT trained, rows, null_rows, dimensions FROM scann_index_info('items_v');

-- Trained, then grown to twice the size: the new rows are found like the old ones.
INSERT INTO items SELECT i, clustered(i, 16) FROM generate_series(501, 2000) i;
REINDEX INDEX items_v;
SELECT trained, rows, null_rows FROM scann_index_info('items_v');
INSERT INTO items SELECT i, clustered(i, 16) FROM generate_series(2001, 4000) i;
SELECT agrees('items', 'items_v');
ANALYZE items;
SELECT rows, missing, misplaced, farther <= 20 AS found FROM compare('SELECT id, v <-> $1 FROM items ORDER BY v <-> $1 LIMIT 10', 20, 16);
-- Inserted vectors are their own nearest rows.
SELECT count(*) >= 95 AS found FROM generate_series(2001, 2100) i, LATERAL (SELECT id FROM items ORDER BY v <-> clustered(i, 16) LIMIT 1) q WHERE q.id = i;
-- A row far from all that the index was trained with.
INSERT INTO items VALUES (5000, array_fill(1000::real, '{16}')), (5001, array_fill(-1000::real, '{16}')), (5002, array_fill(1e18::real, '{16}'));
SET scann.target_recall = 1;
SELECT id FROM items ORDER BY v <-> array_fill(1001::real, '{16}') LIMIT 1;
SELECT id FROM items ORDER BY v <-> array_fill(1e17::real, '{16}') LIMIT 2;
RESET scann.target_recall;
SELECT agrees('items', 'items_v');
DELETE FROM items WHERE id >= 5000;

-- Updates. HOT: the index keeps pointing to the chain's root.
UPDATE items SET note = 'hot' WHERE id % 100 = 0;
SELECT agrees('items', 'items_v');
UPDATE items SET v = clustered(id + 10000, 16) WHERE id % 10 = 0;
SELECT agrees('items', 'items_v');
UPDATE items SET v = NULL WHERE id % 10 = 1;
UPDATE items SET v = clustered(id, 16) WHERE v IS NULL;
SELECT agrees('items', 'items_v');
VACUUM items;
SELECT agrees('items', 'items_v');
SELECT rows, null_rows FROM scann_index_info('items_v');

-- Rollback and savepoints.
BEGIN;
DELETE FROM items WHERE id % 2 = 0;
SAVEPOINT deleted;
INSERT INTO items SELECT 6000 + i, clustered(6000 + i, 16) FROM generate_series(1, 100) i;
SELECT count(*) FROM (SELECT id FROM items ORDER BY v <-> clustered(6001, 16) LIMIT 1) q WHERE id = 6001;
ROLLBACK TO deleted;
SELECT count(*) FROM (SELECT id FROM items ORDER BY v <-> clustered(6001, 16) LIMIT 1) q WHERE id = 6001;
INSERT INTO items VALUES (7000, clustered(7000, 16));
SELECT agrees('items', 'items_v');
ROLLBACK;
SELECT agrees('items', 'items_v');
VACUUM items;
SELECT agrees('items', 'items_v');

-- Delete, vacuum and insert: the entries' places are used again, so the index does not grow.
SELECT pg_relation_size('items_v') AS before \gset
DELETE FROM items WHERE id % 4 = 0;
VACUUM items;
SELECT void_entries AS voids FROM scann_index_info('items_v') \gset
SELECT void_entries > 900 AS voided, rows = (SELECT count(*) FROM items) AS counted FROM scann_index_info('items_v');
INSERT INTO items SELECT i, clustered(i, 16) FROM generate_series(4, 4000, 4) i;
SELECT :voids - void_entries BETWEEN 800 AND 1000 AS places_used FROM scann_index_info('items_v');
DELETE FROM items WHERE id % 4 = 1;
VACUUM items;
INSERT INTO items SELECT i, clustered(i, 16) FROM generate_series(1, 4000, 4) i;
DELETE FROM items WHERE id % 4 = 2;
VACUUM items;
INSERT INTO items SELECT i, clustered(i, 16) FROM generate_series(2, 4000, 4) i;
DELETE FROM items WHERE id % 4 = 3;
VACUUM items;
INSERT INTO items SELECT i, clustered(i, 16) FROM generate_series(3, 4000, 4) i;
SELECT agrees('items', 'items_v');
SELECT pg_relation_size('items_v') <= 1.1 * :before AS same_size;
VACUUM items;
SELECT rows, missing, misplaced, farther <= 40 AS found FROM compare('SELECT id, v <-> $1 FROM items ORDER BY v <-> $1 LIMIT 10', 20, 16);

-- VACUUM's counts: rows of the index, and what it removed.
DELETE FROM items WHERE id > 3000;
VACUUM items;
SELECT reltuples FROM pg_class WHERE relname = 'items_v';
SELECT agrees('items', 'items_v');
-- Without index clean-up the dead entries stay, and do no harm.
DELETE FROM items WHERE id > 2500;
VACUUM (INDEX_CLEANUP off) items;
SELECT agrees('items', 'items_v');
VACUUM (INDEX_CLEANUP on) items;
SELECT agrees('items', 'items_v');
-- Everything deleted; filled again.
DELETE FROM items;
VACUUM items;
SELECT rows, null_rows FROM scann_index_info('items_v');
SET enable_seqscan = off;
SELECT count(*) FROM (SELECT id FROM items ORDER BY v <-> probe() LIMIT 10) q;
RESET enable_seqscan;
INSERT INTO items SELECT i, clustered(i, 16) FROM generate_series(1, 1000) i;
SELECT agrees('items', 'items_v');
VACUUM FULL items;
SELECT agrees('items', 'items_v');

-- TRUNCATE, also rolled back. The empty index takes vectors of another width.
BEGIN;
TRUNCATE items;
INSERT INTO items SELECT i, clustered(i, 3) FROM generate_series(1, 10) i;
SELECT agrees('items', 'items_v', 3);
ROLLBACK;
SELECT agrees('items', 'items_v');
TRUNCATE items;
SET enable_seqscan = off;
SELECT count(*) FROM (SELECT id FROM items ORDER BY v <-> probe() LIMIT 10) q;
RESET enable_seqscan;
INSERT INTO items SELECT i, clustered(i, 3) FROM generate_series(1, 10) i;
SELECT agrees('items', 'items_v', 3);
DROP TABLE items;

-- An index that was empty when it was built stays exact, and warns once it has become slow.
CREATE TABLE grown (id int, v real[]);
CREATE INDEX grown_v ON grown USING scann (v real_l2_ops);
INSERT INTO grown SELECT i, clustered(i, 3) FROM generate_series(1, 9000) i;
INSERT INTO grown SELECT i, clustered(i, 3) FROM generate_series(9001, 11000) i;
INSERT INTO grown SELECT i, clustered(i, 3) FROM generate_series(11001, 11100) i;
ANALYZE grown;
SELECT * FROM compare('SELECT id, v <-> $1 FROM grown ORDER BY v <-> $1 LIMIT 10', 5, 3);
SELECT agrees('grown', 'grown_v', 3);
SELECT trained, needs_reindex FROM scann_index_info('grown_v');
REINDEX INDEX grown_v;
SELECT trained, needs_reindex, rows FROM scann_index_info('grown_v');
INSERT INTO grown SELECT i, clustered(i, 3) FROM generate_series(11101, 11200) i;
SELECT agrees('grown', 'grown_v', 3);
DROP TABLE grown;

-- COPY, INSERT ... ON CONFLICT, triggers that read the index while rows are inserted.
CREATE TABLE items (id int PRIMARY KEY, v real[]);
CREATE INDEX items_v ON items USING scann (v real_l2_ops);
COPY items FROM stdin;
1	{1,2,3}
2	{4,5,6}
3	\N
\.
INSERT INTO items VALUES (2, '{0,0,1}'), (4, '{9,9,9}') ON CONFLICT (id) DO UPDATE SET v = excluded.v;
INSERT INTO items VALUES (4, '{0,0,2}') ON CONFLICT DO NOTHING;
SET enable_seqscan = off;
SELECT id, v, round((v <-> '{0,0,0}')::numeric, 6) AS distance FROM items ORDER BY v <-> '{0,0,0}';
RESET enable_seqscan;
CREATE FUNCTION copy_nearest() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.v := (SELECT v FROM items ORDER BY v <-> NEW.v LIMIT 1);
  RETURN NEW;
END $$;
CREATE TRIGGER nearest BEFORE INSERT ON items FOR EACH ROW EXECUTE FUNCTION copy_nearest();
INSERT INTO items SELECT 10 + i, ARRAY[i, i, i] FROM generate_series(0, 2) i;
SELECT * FROM items WHERE id >= 10 ORDER BY id;
DROP TABLE items;
