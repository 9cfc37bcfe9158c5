-- CREATE INDEX: operator classes, storage parameters and their ranges, little and degenerate data, refused data.
\getenv abs_srcdir PG_ABS_SRCDIR
\set helpers :abs_srcdir '/sql/include/helpers.sql'
\i :helpers

CREATE TABLE items (id int, v real[]);
INSERT INTO items SELECT i, clustered(i, 16) FROM generate_series(1, 1500) i;

-- Operator classes; inner product is the default one.
CREATE INDEX items_ip ON items USING scann (v);
CREATE INDEX items_cosine ON items USING scann (v real_cosine_ops);
CREATE INDEX items_l2 ON items USING scann (v real_l2_ops);
\d items
SET scann.target_recall = 1;
SELECT * FROM compare('SELECT id, v <#> $1 FROM items ORDER BY v <#> $1 LIMIT 10', 5, 16);
SELECT * FROM compare('SELECT id, v <=> $1 FROM items ORDER BY v <=> $1 LIMIT 10', 5, 16);
SELECT * FROM compare('SELECT id, v <-> $1 FROM items ORDER BY v <-> $1 LIMIT 10', 5, 16);
-- Statistics of the table are set by the build.
SELECT relname, reltuples FROM pg_class WHERE relname IN ('items', 'items_ip', 'items_cosine', 'items_l2') ORDER BY relname;
DROP INDEX items_ip, items_cosine, items_l2;

-- The same data and settings give the same index, byte for byte apart from log positions.
CREATE FUNCTION digest(index regclass) RETURNS text LANGUAGE sql
AS $$
  SELECT md5(string_agg(md5(substring(file FROM page * 8192 + 13 FOR 8180)), '' ORDER BY page))
  FROM pg_read_binary_file(pg_relation_filepath(index)) file, generate_series(0, length(file) / 8192 - 1) page
$$;
CREATE INDEX first ON items USING scann (v real_l2_ops);
CREATE INDEX second ON items USING scann (v real_l2_ops);
CREATE INDEX other ON items USING scann (v real_l2_ops) WITH (num_leaves = 30);
CHECKPOINT;
SELECT digest('first') = digest('second') AS same, digest('first') <> digest('other') AS different;
DROP INDEX first, second, other;

-- Storage parameters: what the catalog keeps, and every bound.
CREATE INDEX configured ON items USING scann (v) WITH (num_leaves = 20, dimensions_per_block = 4, training_sample_size = 1200,
  anisotropic_quantization_threshold = 0.25);
SELECT reloptions FROM pg_class WHERE relname = 'configured';
SELECT * FROM compare('SELECT id, v <#> $1 FROM items ORDER BY v <#> $1 LIMIT 10', 5, 16);
DROP INDEX configured;
CREATE FUNCTION options(parameters text) RETURNS text LANGUAGE sql
AS $$ SELECT error_of('CREATE INDEX ON items USING scann (v) WITH (' || parameters || ')') $$;
SELECT parameter, options(parameter) FROM unnest(ARRAY[
  'num_leaves = -1', 'num_leaves = 1000001', 'num_leaves = many', 'dimensions_per_block = -1', 'dimensions_per_block = 1025',
  'training_sample_size = -1', 'anisotropic_quantization_threshold = -1.5', 'anisotropic_quantization_threshold = 1.01',
  'anisotropic_quantization_threshold = NaN', 'lists = 100', 'fillfactor = 90']) parameter;
SELECT parameter, options(parameter) FROM unnest(ARRAY[
  'num_leaves = 1', 'dimensions_per_block = 1', 'dimensions_per_block = 1024, training_sample_size = 100',
  'num_leaves = 0, training_sample_size = 1, anisotropic_quantization_threshold = 0',
  'dimensions_per_block = 0, training_sample_size = 0, anisotropic_quantization_threshold = 1',
  'anisotropic_quantization_threshold = -1']) parameter;
SELECT count(*) FROM pg_index WHERE indrelid = 'items'::regclass;
-- All of them are sound, and exact when every row is compared.
SELECT indexrelid::regclass, scann_check(indexrelid, true), scann_evaluate_recall(indexrelid, 10, 10) FROM pg_index WHERE indrelid = 'items'::regclass ORDER BY 1;
DROP TABLE items;

-- More partitions than rows.
CREATE TABLE few (id int, v real[]);
INSERT INTO few SELECT i, clustered(i, 16) FROM generate_series(1, 50) i;
CREATE INDEX few_ip ON few USING scann (v) WITH (num_leaves = 1000);
CREATE INDEX few_l2 ON few USING scann (v real_l2_ops) WITH (num_leaves = 51);
CREATE INDEX few_cosine ON few USING scann (v real_cosine_ops) WITH (num_leaves = 50);
SELECT * FROM compare('SELECT id, v <#> $1 FROM few ORDER BY v <#> $1 LIMIT 10', 5, 16);
SELECT * FROM compare('SELECT id, v <-> $1 FROM few ORDER BY v <-> $1 LIMIT 10', 5, 16);
SELECT * FROM compare('SELECT id, v <=> $1 FROM few ORDER BY v <=> $1 LIMIT 100', 5, 16);
DROP TABLE few;

-- Codes that do not fit a page.
CREATE TABLE wide (id int, v real[]);
INSERT INTO wide SELECT i, clustered(i, 2000) FROM generate_series(1, 20) i;
SELECT error_of('CREATE INDEX ON wide USING scann (v) WITH (num_leaves = 2, dimensions_per_block = 1)');
SELECT error_of('CREATE INDEX ON wide USING scann (v real_l2_ops) WITH (num_leaves = 2, dimensions_per_block = 1)');
SELECT error_of('CREATE INDEX ON wide USING scann (v) WITH (num_leaves = 2, dimensions_per_block = 5)');
SELECT error_of('CREATE INDEX ON wide USING scann (v real_l2_ops) WITH (num_leaves = 2, dimensions_per_block = 5)');
DROP TABLE wide;

-- Degenerate data: all rows equal, all rows zero, two points, one dimension without variance.
CREATE TABLE degenerate (id int, v real[]);
INSERT INTO degenerate SELECT i, '{1,2,3}' FROM generate_series(1, 1500) i;
CREATE INDEX equal_ip ON degenerate USING scann (v);
CREATE INDEX equal_cosine ON degenerate USING scann (v real_cosine_ops);
CREATE INDEX equal_l2 ON degenerate USING scann (v real_l2_ops);
SELECT * FROM compare('SELECT id, v <#> $1 FROM degenerate ORDER BY v <#> $1', 2, 3);
SELECT * FROM compare('SELECT id, v <=> $1 FROM degenerate ORDER BY v <=> $1', 2, 3);
SELECT * FROM compare('SELECT id, v <-> $1 FROM degenerate ORDER BY v <-> $1', 2, 3);
SET scann.target_recall = 0.9;
SELECT * FROM compare('SELECT id, v <-> $1 FROM degenerate ORDER BY v <-> $1 LIMIT 10', 2, 3);
UPDATE degenerate SET v = '{0,0,0}';
REINDEX TABLE degenerate;
SELECT * FROM compare('SELECT id, v <#> $1 FROM degenerate ORDER BY v <#> $1 LIMIT 10', 2, 3);
SELECT * FROM compare('SELECT id, v <-> $1 FROM degenerate ORDER BY v <-> $1 LIMIT 10', 2, 3);
SELECT count(*) FROM (SELECT FROM degenerate ORDER BY v <=> probe(3) LIMIT 10) q;
UPDATE degenerate SET v = CASE id % 2 WHEN 0 THEN '{1,0,5}' ELSE '{0,1,5}' END::real[];
REINDEX TABLE degenerate;
SELECT * FROM compare('SELECT id, v <#> $1 FROM degenerate ORDER BY v <#> $1 LIMIT 10', 2, 3);
SELECT * FROM compare('SELECT id, v <=> $1 FROM degenerate ORDER BY v <=> $1 LIMIT 10', 2, 3);
SELECT * FROM compare('SELECT id, v <-> $1 FROM degenerate ORDER BY v <-> $1 LIMIT 10', 2, 3);
RESET scann.target_recall;
DROP TABLE degenerate;

-- Vectors too long for sums of floats; the smallest ones.
CREATE TABLE extreme (id int, v real[]);
INSERT INTO extreme SELECT i, ARRAY[3e37 * noise(i, 1), 3e37 * noise(i, 2)] FROM generate_series(1, 1200) i;
CREATE INDEX extreme_l2 ON extreme USING scann (v real_l2_ops);
CREATE INDEX extreme_cosine ON extreme USING scann (v real_cosine_ops);
SELECT * FROM compare('SELECT id, v <-> $1 FROM extreme ORDER BY v <-> $1 LIMIT 10', 3, 2);
SET scann.target_recall = 1;
SELECT * FROM compare('SELECT id, v <=> $1 FROM extreme ORDER BY v <=> $1 LIMIT 10', 3, 2);
UPDATE extreme SET v = ARRAY[1e-42 * (id % 100), 1e-42 * (id % 77 + 1)];
REINDEX TABLE extreme;
SELECT * FROM compare('SELECT id, v <-> $1 FROM extreme ORDER BY v <-> $1 LIMIT 10', 3, 2);
SELECT * FROM compare('SELECT id, v <=> $1 FROM extreme ORDER BY v <=> $1 LIMIT 10', 3, 2);
RESET scann.target_recall;
DROP TABLE extreme;

-- A build in the least memory.
SET maintenance_work_mem = '1MB';
CREATE TABLE items AS SELECT i AS id, clustered(i, 16) AS v FROM generate_series(1, 5000) i;
CREATE INDEX items_l2 ON items USING scann (v real_l2_ops);
RESET maintenance_work_mem;
SELECT rows, missing, misplaced, farther <= 10 AS found_nine_of_ten
FROM compare('SELECT id, v <-> $1 FROM items ORDER BY v <-> $1 LIMIT 10', 10, 16);
DROP TABLE items;

-- Rows that cannot be indexed; the failed build leaves nothing behind.
CREATE TABLE bad (id int, v real[]);
INSERT INTO bad SELECT i, clustered(i, 3) FROM generate_series(1, 1200) i;
CREATE FUNCTION build_with(vector text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  result text;
BEGIN
  EXECUTE format('UPDATE bad SET v = %s WHERE id = 1000', vector);
  result := error_of('CREATE INDEX bad_index ON bad USING scann (v)');
  UPDATE bad SET v = NULL WHERE id = 1000;
  RETURN result;
END $$;
SELECT vector, build_with(vector) FROM unnest(ARRAY[
  $$'{1,2}'$$, $$'{}'$$, $$'{{1,2,3}}'$$, $$'{1,NULL,3}'$$, $$'{1,NaN,3}'$$, $$'{1,Infinity,3}'$$, $$'{1,2,-Infinity}'$$,
  $$clustered(1, 16001)$$]) vector;
SELECT count(*) FROM pg_class WHERE relname = 'bad_index';
SELECT build_with('NULL') AS null_is_fine;
SELECT count(*) FROM pg_class WHERE relname = 'bad_index';
DROP TABLE bad;

-- What the access method cannot do.
CREATE TABLE refused (id int, v real[], w real[], name text, p point);
CREATE UNIQUE INDEX ON refused USING scann (v);
CREATE INDEX ON refused USING scann (v, w);
CREATE INDEX ON refused USING scann (v) INCLUDE (id);
CREATE INDEX ON refused USING scann (v DESC);
CREATE INDEX ON refused USING scann (v NULLS FIRST);
CREATE INDEX ON refused USING scann (name);
CREATE INDEX ON refused USING scann (p);
CREATE INDEX ON refused USING scann (name real_ip_ops);
CREATE INDEX ON refused USING scann (v real_dot_ops);
CREATE INDEX ON refused USING btree (v real_ip_ops);
ALTER TABLE refused ADD EXCLUDE USING scann (v WITH =);
CREATE INDEX refused_index ON refused USING scann (v);
CLUSTER refused USING refused_index;
DROP TABLE refused;

-- Parallel workers build the same index, byte for byte.
CREATE TABLE shared (id int, v real[]) WITH (parallel_workers = 2);
INSERT INTO shared SELECT i, CASE WHEN i % 50 > 0 THEN clustered(i, 16) WHEN i % 100 > 0 THEN array_fill(0::real, '{16}') END
FROM generate_series(1, 5000) i;
CREATE FUNCTION digest_with(workers int, definition text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  result text;
BEGIN
  PERFORM set_config('max_parallel_maintenance_workers', workers::text, true);
  EXECUTE 'CREATE INDEX shared_index ON ' || definition;
  PERFORM scann_check('shared_index', true);
  CHECKPOINT;
  result := digest('shared_index');
  DROP INDEX shared_index;
  RETURN result;
END $$;
CREATE FUNCTION halved(v real[]) RETURNS real[] IMMUTABLE LANGUAGE sql RETURN (SELECT array_agg(x / 2) FROM unnest(v) x);
CREATE FUNCTION halved_in_parallel(v real[]) RETURNS real[] IMMUTABLE PARALLEL SAFE LANGUAGE sql RETURN (SELECT array_agg(x / 2) FROM unnest(v) x);
SELECT definition, digest_with(0, definition) = digest_with(2, definition) AS same FROM unnest(ARRAY[
  'shared USING scann (v)', 'shared USING scann (v real_cosine_ops)', 'shared USING scann (v real_l2_ops)',
  'shared USING scann (halved(v))', 'shared USING scann (halved_in_parallel(v))', 'shared USING scann (v) WHERE id % 3 > 0',
  'shared USING scann (v) WITH (soar)']) definition;
ALTER TABLE shared SET UNLOGGED;
SELECT digest_with(0, 'shared USING scann (v)') = digest_with(2, 'shared USING scann (v)') AS same;
ALTER TABLE shared SET LOGGED;
CREATE TEMP TABLE temporary WITH (parallel_workers = 2) AS TABLE shared;
CREATE INDEX temporary_index ON temporary USING scann (v);
SELECT scann_check('temporary_index', true);
DROP TABLE temporary;
SET max_parallel_maintenance_workers = 0;
CREATE INDEX CONCURRENTLY alone ON shared USING scann (v);
SET max_parallel_maintenance_workers = 2;
CREATE INDEX CONCURRENTLY together ON shared USING scann (v);
CHECKPOINT;
SELECT digest('alone') = digest('together') AS same;
DROP INDEX alone;
SET scann.target_recall = 1;
SELECT * FROM compare('SELECT id, v <#> $1 FROM shared ORDER BY v <#> $1 LIMIT 10', 5, 16);
RESET scann.target_recall;
REINDEX INDEX together;
REINDEX INDEX CONCURRENTLY together;
SELECT scann_check('together', true);
DROP INDEX together;
-- A row which the sample may not meet and a worker may; too little memory for workers.
SELECT error_of($$UPDATE shared SET v = '{1,2}' WHERE id = 4001; CREATE INDEX ON shared USING scann (v) WITH (training_sample_size = 1)$$);
SET maintenance_work_mem = '1MB';
SELECT digest_with(0, 'shared USING scann (v)') = digest_with(2, 'shared USING scann (v)') AS same;
RESET maintenance_work_mem;
RESET max_parallel_maintenance_workers;
DROP TABLE shared;
