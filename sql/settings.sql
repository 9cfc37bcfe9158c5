-- Settings: defaults, ranges, names that do not exist, values set before the library is loaded, and what each one does.
\getenv abs_srcdir PG_ABS_SRCDIR
\set helpers :abs_srcdir '/sql/include/helpers.sql'
\i :helpers

-- A new session, in which nothing has loaded the library.
\c -
SHOW scann.target_recall;
SET scann.target_recall = 0.8;
SET scann.num_leaves_to_search = -5;
SET scann.probes = 3;
LOAD 'scann_am';
SHOW scann.target_recall;
SHOW scann.num_leaves_to_search;
SHOW scann.probes;

\c -
LOAD 'scann_am';
SELECT name, setting, boot_val, min_val, max_val, vartype, context FROM pg_settings WHERE name LIKE 'scann.%' ORDER BY name;
SET scann.target_recall = 0;
SET scann.target_recall = 1.01;
SET scann.target_recall = 'high';
SET scann.target_recall = 'NaN';
SET scann.num_leaves_to_search = -1;
SET scann.pre_reordering_num_neighbors = -1;
SET scann.max_scan_tuples = -2;
SET scann.max_scan_tuples = 1.5;
SHOW scann.max_scan_tuples;
RESET scann.max_scan_tuples;
-- The prefix is the extension's own.
SET scann.probes = 10;
SHOW scann.probes;
-- Settings of a role, a database, a function and a transaction.
ALTER FUNCTION probe(int, int) SET scann.target_recall = 2;
ALTER FUNCTION probe(int, int) SET scann.target_recall = 1;
ALTER FUNCTION probe(int, int) RESET ALL;
BEGIN;
SET LOCAL scann.target_recall = 0.5;
SHOW scann.target_recall;
ROLLBACK;
SHOW scann.target_recall;

-- What they do.
CREATE TABLE items AS SELECT i AS id, clustered(i, 16) AS v FROM generate_series(1, 3000) i;
CREATE INDEX items_v ON items USING scann (v);
ANALYZE items;
CREATE FUNCTION work(query text DEFAULT 'SELECT id FROM items ORDER BY v <#> probe() LIMIT 10',
                     OUT rows bigint, OUT rounds bigint, OUT leaves bigint, OUT entries bigint, OUT reordered bigint, OUT returned bigint)
LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('SELECT count(*) FROM (%s) q', query) INTO rows;
  SELECT s.rounds, s.leaves, s.entries, s.reordered, s.returned INTO rounds, leaves, entries, reordered, returned FROM scann_scan_stats() s;
END $$;
SELECT rows, rounds, entries < 3000 AS partial, returned FROM work();
-- target_recall: more effort for more recall, in the end every row.
SET scann.target_recall = 1;
SELECT rows, rounds, entries, returned FROM work();
-- ... but only 1 compares every row.
SET scann.target_recall = 0.9999;
SELECT rows, rounds, entries < 3000 AS partial FROM work();
SET scann.target_recall = 0.6;
SELECT entries AS little FROM work('SELECT id FROM items ORDER BY v <#> probe() LIMIT 100') \gset
SET scann.target_recall = 0.98;
SELECT entries > :little AS more FROM work('SELECT id FROM items ORDER BY v <#> probe() LIMIT 100');
RESET scann.target_recall;
-- num_leaves_to_search bounds the first round, pre_reordering_num_neighbors sets its candidates.
SET scann.num_leaves_to_search = 2;
SELECT rows, rounds, leaves <= 2 AS few_leaves FROM work();
SET scann.num_leaves_to_search = 1;
SELECT rows, rounds, leaves FROM work('SELECT id FROM items ORDER BY v <#> probe() LIMIT 1');
-- A round that did not find enough is followed by another without the bound.
SELECT rows, rounds > 1 AS more_rounds, leaves > 1 AS more_leaves FROM work('SELECT id FROM items ORDER BY v <#> probe() LIMIT 200');
RESET scann.num_leaves_to_search;
SET scann.pre_reordering_num_neighbors = 25;
SELECT rows, rounds, reordered BETWEEN 10 AND 25 AS few_reordered FROM work();
SET scann.pre_reordering_num_neighbors = 5;
SELECT rows FROM work();
SET scann.num_leaves_to_search = 1000000;
SET scann.pre_reordering_num_neighbors = 1000000;
SELECT rows FROM work();
RESET scann.num_leaves_to_search;
RESET scann.pre_reordering_num_neighbors;
-- max_scan_tuples: see the test of filters.
SET scann.max_scan_tuples = 7;
SELECT rows, returned FROM work();
RESET scann.max_scan_tuples;
-- Nobody needs to be superuser for them.
CREATE ROLE regress_scann_user;
GRANT SELECT ON items TO regress_scann_user;
SET ROLE regress_scann_user;
SET scann.target_recall = 0.9;
SELECT rows FROM work();
RESET ROLE;
REVOKE ALL ON items FROM regress_scann_user;
DROP ROLE regress_scann_user;
DROP TABLE items;
