-- From 1 to 16,000 dimensions: each metric, the exact rows at target_recall 1, the format's checks, insert, delete and vacuum.
-- From 8,133 dimensions on an entry spans two pages.
\getenv abs_srcdir PG_ABS_SRCDIR
\set helpers :abs_srcdir '/sql/include/helpers.sql'
\i :helpers

-- Builds one index over `n` rows, changes a part of them, and compares.
CREATE FUNCTION dimensions(dims int, n int, metric text, with_options text DEFAULT '') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  operator text := CASE metric WHEN 'ip' THEN '<#>' WHEN 'cosine' THEN '<=>' ELSE '<->' END;
  query text := format('SELECT id, v %1$s $1 FROM wide ORDER BY v %1$s $1 LIMIT 10', operator);
  built record;
  changed record;
BEGIN
  CREATE TEMP TABLE wide (id int, v real[]);
  INSERT INTO wide SELECT i, clustered(i, dims, 5) FROM generate_series(1, n) i;
  EXECUTE format('CREATE INDEX wide_v ON wide USING scann (v real_%s_ops) %s', metric, with_options);
  PERFORM scann_check('wide_v', true);
  SELECT * INTO built FROM compare(query, 2, dims);
  DELETE FROM wide WHERE id % 10 = 0;
  INSERT INTO wide SELECT i, clustered(i, dims, 5) FROM generate_series(n + 1, n + n / 10 + 3) i;
  PERFORM scann_check('wide_v', true);
  SELECT * INTO changed FROM compare(query, 2, dims);
  DROP TABLE wide;
  RETURN format('%s+%s rows, %s+%s missing, %s+%s misplaced, %s+%s farther', built.rows, changed.rows, built.missing, changed.missing,
                built.misplaced, changed.misplaced, built.farther, changed.farther);
END $$;

-- Trained, with partitions and codes; everything compared, then nothing set.
SET scann.target_recall = 1;
SELECT dims, metric, dimensions(dims, n, metric, 'WITH (num_leaves = 5)')
FROM (VALUES (1, 300), (2, 300), (3, 300), (17, 300), (100, 100), (768, 40), (1536, 20), (3072, 10)) d(dims, n), unnest('{ip,cosine,l2}'::text[]) metric
ORDER BY dims, metric;
SELECT dims, metric, dimensions(dims, n, metric, 'WITH (num_leaves = 2)')
FROM (VALUES (8132, 10, 'l2'), (8133, 10, 'l2'), (9000, 10, 'cosine'), (16000, 10, 'l2')) d(dims, n, metric)
ORDER BY dims, metric;
-- Odd numbers of dimensions for each block.
SELECT dims, block, dimensions(dims, 100, 'l2', format('WITH (num_leaves = 4, dimensions_per_block = %s)', block))
FROM (VALUES (17, 1), (17, 3), (17, 16), (17, 17), (17, 18), (100, 1), (100, 7), (100, 99), (100, 1000)) d(dims, block)
ORDER BY dims, block;
-- Without partitions.
SELECT dims, metric, dimensions(dims, 12, metric)
FROM (VALUES (1, 'ip'), (1, 'cosine'), (1, 'l2'), (17, 'ip'), (17, 'cosine'), (17, 'l2'), (768, 'cosine'), (9000, 'l2')) d(dims, metric)
ORDER BY dims, metric;
RESET scann.target_recall;

-- VACUUM and reuse where an entry spans two pages.
CREATE TABLE wide (id int, v real[]);
INSERT INTO wide SELECT i, clustered(i, 9000, 3) FROM generate_series(1, 15) i;
CREATE INDEX wide_v ON wide USING scann (v) WITH (num_leaves = 3);
SELECT pg_relation_size('wide_v') AS before \gset
DELETE FROM wide WHERE id <= 5;
VACUUM wide;
SELECT rows, void_entries FROM scann_index_info('wide_v');
INSERT INTO wide SELECT i, clustered(i, 9000, 3) FROM generate_series(1, 5) i;
SELECT rows, void_entries FROM scann_index_info('wide_v');
SELECT scann_check('wide_v', true);
SELECT pg_relation_size('wide_v') = :before AS same_size;
SET scann.target_recall = 1;
SELECT * FROM compare('SELECT id, v <#> $1 FROM wide ORDER BY v <#> $1', 1, 9000);
RESET scann.target_recall;

-- The table takes wider vectors; the index does not.
ALTER TABLE wide ALTER COLUMN v SET STORAGE EXTERNAL;
SELECT error_of('INSERT INTO wide VALUES (0, clustered(1, 9001))');
SELECT error_of('INSERT INTO wide VALUES (0, clustered(1, 16001))');
DROP TABLE wide;
CREATE TABLE wide (id int, v real[]);
INSERT INTO wide VALUES (1, clustered(1, 16001));
SELECT error_of('CREATE INDEX ON wide USING scann (v)');
DROP TABLE wide;
