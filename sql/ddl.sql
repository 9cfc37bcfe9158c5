-- Statements that define indexes: CONCURRENTLY, REINDEX, ALTER, temporary and unlogged tables, validation of operator classes.
\getenv abs_srcdir PG_ABS_SRCDIR
\set helpers :abs_srcdir '/sql/include/helpers.sql'
\i :helpers

CREATE TABLE items (id int, v real[]);
INSERT INTO items SELECT i, clustered(i, 16) FROM generate_series(1, 2000) i;

-- CREATE INDEX CONCURRENTLY.
CREATE INDEX CONCURRENTLY items_v ON items USING scann (v real_l2_ops) WITH (num_leaves = 40);
SELECT scann_check('items_v', true);
SELECT num_leaves, rows FROM scann_index_info('items_v');
SET scann.target_recall = 1;
SELECT * FROM compare('SELECT id, v <-> $1 FROM items ORDER BY v <-> $1 LIMIT 10', 5, 16);
-- One that fails leaves an invalid index, which queries ignore and REINDEX repairs.
INSERT INTO items VALUES (-1, NULL);
CREATE TABLE odd (id int, v real[]);
INSERT INTO odd VALUES (1, '{1,2}'), (2, '{1,2,3}');
CREATE INDEX CONCURRENTLY odd_v ON odd USING scann (v);
SELECT indisvalid FROM pg_index WHERE indexrelid = 'odd_v'::regclass;
SELECT error_of($$SELECT scann_check('odd_v')$$);
SELECT error_of($$SELECT scann_index_info('odd_v')$$);
SET enable_seqscan = off;
SELECT uses_index($$SELECT id FROM odd ORDER BY v <#> '{1,2}' LIMIT 1$$);
RESET enable_seqscan;
DELETE FROM odd WHERE id = 2;
REINDEX INDEX odd_v;
SELECT indisvalid FROM pg_index WHERE indexrelid = 'odd_v'::regclass;
SELECT * FROM compare('SELECT id, v <#> $1 FROM odd ORDER BY v <#> $1', 1, 2);
DROP TABLE odd;

-- REINDEX, also of index, table and CONCURRENTLY; options take effect then.
ALTER INDEX items_v SET (num_leaves = 25, dimensions_per_block = 4);
SELECT num_leaves, dimensions_per_block FROM scann_index_info('items_v');
REINDEX INDEX items_v;
SELECT num_leaves, dimensions_per_block FROM scann_index_info('items_v');
ALTER INDEX items_v RESET (num_leaves, dimensions_per_block);
REINDEX INDEX CONCURRENTLY items_v;
SELECT num_leaves, dimensions_per_block FROM scann_index_info('items_v');
REINDEX TABLE CONCURRENTLY items;
SELECT * FROM compare('SELECT id, v <-> $1 FROM items ORDER BY v <-> $1 LIMIT 10', 5, 16);
SELECT scann_check('items_v', true);
ALTER INDEX items_v SET (num_leaves = -1);
ALTER INDEX items_v SET (fillfactor = 50);
ALTER INDEX items_v SET (num_leaves = 10);
\d items_v
\d items
SELECT pg_get_indexdef('items_v'::regclass);

-- Other changes of the table and the index.
ALTER INDEX items_v RENAME TO items_w;
ALTER TABLE items RENAME COLUMN v TO w;
SELECT * FROM compare('SELECT id, w <-> $1 FROM items ORDER BY w <-> $1 LIMIT 10', 1, 16);
ALTER TABLE items ADD COLUMN note text DEFAULT 'none', DROP COLUMN id;
SELECT count(*) FROM (SELECT note FROM items ORDER BY w <-> probe() LIMIT 10) q;
ALTER TABLE items ALTER COLUMN w TYPE float8[];
ALTER TABLE items ALTER COLUMN note TYPE varchar(10);
SELECT scann_check('items_w', true);
-- Rewrites and copies.
VACUUM FULL items;
SELECT scann_check('items_w', true);
CREATE TABLE twin (LIKE items INCLUDING ALL);
INSERT INTO twin SELECT * FROM items;
SELECT pg_get_indexdef(indexrelid), scann_check(indexrelid, true) FROM pg_index WHERE indrelid = 'twin'::regclass;
DROP TABLE twin;
DROP INDEX items_w;
SELECT count(*) FROM pg_class WHERE relname = 'items_w';
DROP TABLE items;
RESET scann.target_recall;

-- Several builds in one transaction, rolled back; a build in the transaction that fills the table.
BEGIN;
CREATE TABLE items AS SELECT i AS id, clustered(i, 16) AS v FROM generate_series(1, 1200) i;
CREATE INDEX items_v ON items USING scann (v real_l2_ops);
INSERT INTO items SELECT i, clustered(i, 16) FROM generate_series(1201, 1300) i;
SELECT scann_check('items_v', true);
DELETE FROM items WHERE id <= 100;
REINDEX INDEX items_v;
SELECT scann_check('items_v', true);
SAVEPOINT before;
DROP INDEX items_v;
ROLLBACK TO before;
SELECT rows, missing, misplaced FROM compare('SELECT id, v <-> $1 FROM items ORDER BY v <-> $1', 1, 16);
ROLLBACK;

-- Temporary tables.
CREATE TEMP TABLE items ON COMMIT DELETE ROWS AS SELECT i AS id, clustered(i, 16) AS v FROM generate_series(1, 1200) i;
CREATE INDEX items_v ON items USING scann (v real_l2_ops);
BEGIN;
INSERT INTO items SELECT i, clustered(i, 16) FROM generate_series(1, 1200) i;
SELECT * FROM compare('SELECT id, v <-> $1 FROM items ORDER BY v <-> $1', 1, 16);
SELECT scann_check('items_v', true);
COMMIT;
SET enable_seqscan = off;
SELECT count(*) FROM (SELECT id FROM items ORDER BY v <-> probe() LIMIT 10) q;
RESET enable_seqscan;
DROP TABLE items;
CREATE TEMP TABLE items AS SELECT i AS id, clustered(i, 16) AS v FROM generate_series(1, 1200) i;
CREATE INDEX items_v ON items USING scann (v real_l2_ops);
INSERT INTO items SELECT i, clustered(i, 16) FROM generate_series(1201, 1300) i;
DELETE FROM items WHERE id < 100;
VACUUM items;
SELECT * FROM compare('SELECT id, v <-> $1 FROM items ORDER BY v <-> $1', 1, 16);
SELECT scann_check('items_v', true);
DROP TABLE items;

-- Unlogged tables, and changes between logged and unlogged.
CREATE UNLOGGED TABLE items AS SELECT i AS id, clustered(i, 16) AS v FROM generate_series(1, 1200) i;
CREATE INDEX items_v ON items USING scann (v real_l2_ops);
INSERT INTO items SELECT i, clustered(i, 16) FROM generate_series(1201, 1300) i;
SELECT * FROM compare('SELECT id, v <-> $1 FROM items ORDER BY v <-> $1', 1, 16);
SELECT pg_relation_size('items_v', 'init') > 0 AS init_fork;
ALTER TABLE items SET LOGGED;
SELECT scann_check('items_v', true);
SELECT pg_relation_size('items_v', 'init') > 0 AS init_fork;
ALTER TABLE items SET UNLOGGED;
INSERT INTO items SELECT i, clustered(i, 16) FROM generate_series(1301, 1400) i;
SELECT scann_check('items_v', true);
DROP TABLE items;

-- Materialized views.
CREATE TABLE items AS SELECT i AS id, clustered(i, 16) AS v FROM generate_series(1, 1200) i;
CREATE MATERIALIZED VIEW vectors AS SELECT * FROM items;
CREATE INDEX vectors_v ON vectors USING scann (v);
INSERT INTO items SELECT i, clustered(i, 16) FROM generate_series(1201, 1300) i;
REFRESH MATERIALIZED VIEW vectors;
SELECT rows FROM scann_index_info('vectors_v');
SELECT rows, missing, misplaced FROM compare('SELECT id, v <#> $1 FROM vectors ORDER BY v <#> $1 LIMIT 10', 2, 16);
DROP MATERIALIZED VIEW vectors;
DROP TABLE items;

-- What the access method says about itself.
SELECT p, pg_indexam_has_property(oid, p) AS am
FROM pg_am, unnest('{can_order,can_unique,can_multi_col,can_exclude,can_include}'::text[]) WITH ORDINALITY u(p, n) WHERE amname = 'scann' ORDER BY n;
CREATE TABLE items (v real[]);
CREATE INDEX items_v ON items USING scann (v);
SELECT p, pg_index_has_property('items_v', p) AS index, pg_index_column_has_property('items_v', 1, p) AS "column"
FROM unnest('{clusterable,index_scan,bitmap_scan,backward_scan,asc,desc,nulls_first,orderable,returnable,search_array,search_nulls}'::text[])
  WITH ORDINALITY u(p, n) ORDER BY n;
DROP TABLE items;

-- Operator classes: the extension's are valid, and others are told why they are not.
SELECT opcname, opcdefault, opcintype::regtype, amvalidate(c.oid) FROM pg_opclass c JOIN pg_am a ON a.oid = opcmethod WHERE amname = 'scann' ORDER BY opcname;
CREATE OPERATOR CLASS no_support_ops FOR TYPE real[] USING scann AS OPERATOR 1 <#> (real[], real[]) FOR ORDER BY float_ops;
CREATE OPERATOR CLASS searching_ops FOR TYPE real[] USING scann AS OPERATOR 1 = (anyarray, anyarray), FUNCTION 1 scann_real_ip_support(internal);
CREATE OPERATOR CLASS wrong_function_ops FOR TYPE real[] USING scann AS
  OPERATOR 1 <#> (real[], real[]) FOR ORDER BY float_ops, FUNCTION 1 array_ndims(anyarray);
SELECT error_of('CREATE OPERATOR CLASS many_ops FOR TYPE real[] USING scann AS OPERATOR 2 <#> (real[], real[]) FOR ORDER BY float_ops');
SELECT error_of('CREATE OPERATOR CLASS many_ops FOR TYPE real[] USING scann AS FUNCTION 2 scann_real_ip_support(internal)');
SELECT opcname, amvalidate(c.oid) FROM pg_opclass c WHERE opcname IN ('no_support_ops', 'searching_ops', 'wrong_function_ops') ORDER BY opcname;
CREATE TABLE items (v real[]);
CREATE INDEX ON items USING scann (v no_support_ops);
DROP TABLE items;
DROP OPERATOR FAMILY no_support_ops USING scann;
DROP OPERATOR FAMILY searching_ops USING scann;
DROP OPERATOR FAMILY wrong_function_ops USING scann;

-- The extension cannot go while an index needs it; with CASCADE the indexes go and the tables stay.
BEGIN;
CREATE TABLE items AS SELECT i AS id, clustered(i, 16) AS v FROM generate_series(1, 10) i;
CREATE INDEX items_v ON items USING scann (v);
SAVEPOINT before;
DROP EXTENSION scann_am;
ROLLBACK TO before;
DROP EXTENSION scann_am CASCADE;
SELECT count(*) FROM items;
SELECT count(*) FROM pg_index WHERE indrelid = 'items'::regclass;
ROLLBACK;
