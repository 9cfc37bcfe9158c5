-- Inspection: scann_index_info, scann_partitions, scann_check, scann_evaluate_recall, scann_scan_stats.
\getenv abs_srcdir PG_ABS_SRCDIR
\set helpers :abs_srcdir '/sql/include/helpers.sql'
\i :helpers

CREATE TABLE items (id int, v real[]);
INSERT INTO items SELECT i, CASE WHEN i % 100 = 0 THEN NULL ELSE clustered(i, 16) END FROM generate_series(1, 3000) i;
CREATE INDEX items_ip ON items USING scann (v) WITH (num_leaves = 30);
CREATE INDEX items_cosine ON items USING scann (v real_cosine_ops) WITH (num_leaves = 30, dimensions_per_block = 4);
CREATE INDEX items_l2 ON items USING scann (v real_l2_ops) WITH (num_leaves = 30);

-- scann_index_info.
SELECT index, metric, dimensions, trained, needs_reindex, num_leaves, dimensions_per_block, rows, void_entries, null_rows, rows_at_build
FROM unnest('{items_ip,items_cosine,items_l2}'::regclass[]) index, scann_index_info(index);
SELECT anisotropic_quantization_threshold > 0 AS threshold, effective_dimensions BETWEEN 1 AND 16 AS effective_dimensions,
       rotation IS NOT NULL AS rotation, instruction_set <> '' AS instruction_set
FROM scann_index_info('items_ip');
CREATE INDEX items_t ON items USING scann (v) WITH (anisotropic_quantization_threshold = 0.5);
SELECT a.anisotropic_quantization_threshold > b.anisotropic_quantization_threshold AS higher FROM scann_index_info('items_t') a, scann_index_info('items_ip') b;
DROP INDEX items_t;

-- scann_partitions adds up to it.
SELECT count(*) AS partitions, min(partition), max(partition), sum(rows) AS rows, sum(void_entries) AS void_entries, bool_and(pages > 0) AS pages,
       bool_and(sigma > 0) AS sigma
FROM scann_partitions('items_ip');
SELECT max(rows) <= 5 * avg(rows) AS balanced FROM scann_partitions('items_l2');
SELECT sum(pages) < pg_relation_size('items_ip') / 8192 AS fewer_pages_than_the_index FROM scann_partitions('items_ip');

-- They follow the changes.
DELETE FROM items WHERE id <= 1000;
SELECT rows, void_entries, null_rows FROM scann_index_info('items_ip');
VACUUM items;
SELECT rows, void_entries, null_rows FROM scann_index_info('items_ip');
SELECT sum(rows) AS rows, sum(void_entries) AS void_entries FROM scann_partitions('items_ip');
INSERT INTO items VALUES (3001, NULL), (3002, array_fill(0::real, '{16}')), (3003, clustered(3003, 16));
SELECT index, rows, void_entries, null_rows FROM unnest('{items_ip,items_cosine,items_l2}'::regclass[]) index, scann_index_info(index);

-- scann_check: without complaint.
SELECT scann_check('items_ip'), scann_check('items_cosine', false), scann_check('items_l2', heapallindexed => true);
SELECT scann_check('items_cosine', true);
-- A row that the index lacks: outside the index's predicate, which is taken away behind its back.
CREATE TABLE part (id int, v real[]);
INSERT INTO part SELECT i, clustered(i, 3) FROM generate_series(1, 100) i;
CREATE INDEX part_v ON part USING scann (v) WHERE id > 50;
SELECT scann_check('part_v', true);
UPDATE pg_index SET indpred = NULL WHERE indexrelid = 'part_v'::regclass;
SELECT scann_check('part_v');
SELECT error_of($$SELECT scann_check('part_v', true)$$);
DROP TABLE part;

-- scann_evaluate_recall.
SELECT scann_evaluate_recall('items_ip') BETWEEN 0.85 AND 1 AS ip, scann_evaluate_recall('items_cosine', 10, 50) BETWEEN 0.85 AND 1 AS cosine,
       scann_evaluate_recall('items_l2', k => 1) BETWEEN 0.8 AND 1 AS l2;
SET scann.target_recall = 1;
SELECT scann_evaluate_recall('items_ip', 10, 20), scann_evaluate_recall('items_cosine', 100, 5), scann_evaluate_recall('items_l2', 1, 20);
RESET scann.target_recall;
SELECT error_of(format('SELECT scann_evaluate_recall(%L, %s)', 'items_ip', arguments)) FROM unnest('{0,-1,"10, 0","10, -1",1000000}'::text[]) arguments;
SELECT scann_evaluate_recall('items_ip', NULL) IS NULL AS strict;

-- scann_scan_stats: this session's last scan.
SET enable_seqscan = off;
SELECT count(*) FROM (SELECT id FROM items ORDER BY v <#> probe() LIMIT 10) q;
SELECT rounds > 0 AS rounds, leaves > 0 AS leaves, entries BETWEEN 10 AND 2990 AS entries, reordered >= 10 AS reordered, returned FROM scann_scan_stats();
SELECT count(*) FROM (SELECT id FROM items ORDER BY v <#> probe()) q;
SELECT rounds, returned FROM scann_scan_stats();
RESET enable_seqscan;

-- An index without partitions, an empty one, one with NULL vectors only.
CREATE TABLE small (id int, v real[]);
CREATE INDEX small_v ON small USING scann (v real_cosine_ops);
SELECT metric, dimensions, trained, needs_reindex, num_leaves, rows, void_entries, null_rows FROM scann_index_info('small_v');
SELECT count(*) FROM scann_partitions('small_v');
SELECT scann_check('small_v', true);
SELECT scann_evaluate_recall('small_v');
INSERT INTO small VALUES (1, NULL), (2, '{0,0}');
SELECT metric, dimensions, trained, rows, null_rows FROM scann_index_info('small_v');
SELECT scann_check('small_v', true);
SELECT scann_evaluate_recall('small_v');
INSERT INTO small SELECT i, ARRAY[i, 1] FROM generate_series(3, 20) i;
SELECT metric, dimensions, trained, rows, null_rows FROM scann_index_info('small_v');
SELECT scann_check('small_v', true);
SELECT scann_evaluate_recall('small_v');
DROP TABLE small;

-- Relations that are no scann index.
CREATE INDEX items_id ON items (id);
CREATE VIEW items_view AS SELECT * FROM items;
CREATE TABLE parted (id int, v real[]) PARTITION BY RANGE (id);
CREATE INDEX parted_v ON parted USING scann (v);
SELECT relation, function, error_of(format('SELECT %s(%L)', function, relation))
FROM unnest('{items,items_id,items_view,parted_v}'::text[]) relation,
     unnest('{scann_index_info,scann_partitions,scann_check,scann_evaluate_recall}'::text[]) function;
SELECT error_of($$SELECT scann_index_info('no_such_index')$$);
SELECT error_of($$SELECT scann_index_info(1)$$);
SELECT scann_index_info(NULL) IS NULL AS strict;
DROP VIEW items_view;
DROP TABLE parted;

-- They tell only those who may read the table.
CREATE ROLE regress_scann_user;
SET ROLE regress_scann_user;
SELECT function, error_of(format('SELECT %s(%L)', function, 'items_ip'))
FROM unnest('{scann_index_info,scann_partitions,scann_check,scann_evaluate_recall}'::text[]) function;
RESET ROLE;
GRANT SELECT ON items TO regress_scann_user;
SET ROLE regress_scann_user;
SELECT rows FROM scann_index_info('items_ip');
RESET ROLE;
REVOKE ALL ON items FROM regress_scann_user;
DROP ROLE regress_scann_user;
DROP TABLE items;
