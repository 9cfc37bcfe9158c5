-- Three levels of the tree: above 1,500 partitions centroids that lie together form groups, through which queries,
-- inserts and VACUUM go.
\getenv abs_srcdir PG_ABS_SRCDIR
\set helpers :abs_srcdir '/sql/include/helpers.sql'
\i :helpers

CREATE TABLE many (id int, v real[]) WITH (autovacuum_enabled = off);
INSERT INTO many SELECT i, clustered(i, 12) FROM generate_series(1, 6000) i;
CREATE INDEX many_ip ON many USING scann (v) WITH (num_leaves = 1600);
CREATE INDEX many_cosine ON many USING scann (v real_cosine_ops) WITH (num_leaves = 1600);
CREATE INDEX many_l2 ON many USING scann (v real_l2_ops) WITH (num_leaves = 1600);
SELECT index, num_leaves, rows FROM unnest(ARRAY['many_ip', 'many_cosine', 'many_l2']) index, scann_index_info(index);

-- Queries find nearly all of their 10 nearest rows through the groups, without comparing every row.
CREATE FUNCTION searched(metric text) RETURNS TABLE (recalled boolean, few_entries boolean) LANGUAGE plpgsql AS $$
DECLARE
  entries bigint;
BEGIN
  PERFORM set_config('enable_seqscan', 'off', true);
  EXECUTE format('SELECT FROM many ORDER BY v %s probe(12) LIMIT 10',
                 CASE metric WHEN 'ip' THEN '<#>' WHEN 'cosine' THEN '<=>' ELSE '<->' END);
  SELECT s.entries INTO entries FROM scann_scan_stats() s;
  PERFORM scann_check(('many_' || metric)::regclass, true);
  RETURN QUERY SELECT scann_evaluate_recall(('many_' || metric)::regclass, 10, 200) > 0.88, entries BETWEEN 10 AND 3000;
END $$;
SELECT metric, (searched(metric)).* FROM unnest(ARRAY['ip', 'cosine', 'l2']) metric;

-- A query of every row finds every row.
SELECT * FROM compare('SELECT id, v <#> $1 FROM many ORDER BY v <#> $1 LIMIT 6000', 1, 12);

-- Rows inserted later are found as well, though by an effort that was calibrated with fewer.
INSERT INTO many SELECT i, clustered(i, 12) FROM generate_series(6001, 9000) i;
SELECT metric, (searched(metric)).* FROM unnest(ARRAY['ip', 'cosine', 'l2']) metric;

-- VACUUM writes new statistics of partitions and leaves their groups as they are.
DELETE FROM many WHERE id % 3 > 0;
VACUUM many;
SELECT metric, (searched(metric)).* FROM unnest(ARRAY['ip', 'cosine', 'l2']) metric;
SELECT rows, void_entries FROM scann_index_info('many_ip');
DROP TABLE many;
DROP FUNCTION searched;
