-- Every way to ask for some of the rows: LIMIT and OFFSET of any kind, cursors, joins, functions, prepared statements.
-- A scan learns the limit where one stands directly above; scann_scan_stats() shows whether it compared every row.
\getenv abs_srcdir PG_ABS_SRCDIR
\set helpers :abs_srcdir '/sql/include/helpers.sql'
\i :helpers

CREATE TABLE items AS SELECT i AS id, clustered(i, 16) AS v FROM generate_series(1, 4000) i;
CREATE INDEX items_v ON items USING scann (v real_l2_ops);
ANALYZE items;
CREATE TABLE nearest AS SELECT row_number() OVER (ORDER BY v <-> probe()) AS place, id, v <-> probe() AS distance FROM items;
CREATE UNIQUE INDEX ON nearest (place);
CREATE UNIQUE INDEX ON nearest (id);
-- The first places from one to another, whose ids a query should give.
CREATE FUNCTION places(first bigint, last bigint) RETURNS int[] LANGUAGE sql STABLE
AS $$ SELECT array_agg(id ORDER BY place) FROM nearest WHERE place BETWEEN first AND last $$;
-- The first round was enough: a scan that did not know its limit would have compared every row.
CREATE FUNCTION limit_known() RETURNS boolean LANGUAGE sql AS $$ SELECT entries < 4000 FROM scann_scan_stats() $$;

SET scann.target_recall = 1;
SELECT array_agg(id) = places(1, 10) AS same FROM (SELECT id FROM items ORDER BY v <-> probe() LIMIT 10) q;
SELECT array_agg(id) = places(21, 30) AS same FROM (SELECT id FROM items ORDER BY v <-> probe() LIMIT 10 OFFSET 20) q;
SELECT array_agg(id) = places(1, 10) AS same FROM (SELECT id FROM items ORDER BY v <-> probe() FETCH FIRST 10 ROWS ONLY) q;
SELECT array_agg(id) = places(1, 4000) AS same FROM (SELECT id FROM items ORDER BY v <-> probe() LIMIT NULL) q;
SELECT array_agg(id) = places(3991, 4000) AS same FROM (SELECT id FROM items ORDER BY v <-> probe() OFFSET 3990) q;
SELECT count(*) FROM (SELECT id FROM items ORDER BY v <-> probe() LIMIT 0) q;
SELECT count(*) FROM (SELECT id FROM items ORDER BY v <-> probe() LIMIT 10 OFFSET 5000) q;

-- A second sort key, which an incremental sort adds.
SET enable_seqscan = off;
SELECT array_agg(id) = places(1, 10) AS same FROM (SELECT id FROM items ORDER BY v <-> probe(), id LIMIT 10) q;
RESET enable_seqscan;

-- What follows does not depend on comparing every row, so it may be approximate.
RESET scann.target_recall;
SET enable_seqscan = off;
CREATE FUNCTION found(ids int[], first bigint, last bigint) RETURNS boolean LANGUAGE sql
AS $$
  SELECT cardinality(ids) = last - first + 1 AND count(*) = cardinality(ids)
         AND count(*) FILTER (WHERE place <= last + cardinality(ids)) >= 0.7 * count(*)
         AND array_agg(id ORDER BY n) = array_agg(id ORDER BY distance, n)
  FROM unnest(ids) WITH ORDINALITY u(id, n) JOIN nearest USING (id)
$$;
SELECT found(array_agg(id), 1, 10), limit_known() FROM (SELECT id FROM items ORDER BY v <-> probe() LIMIT 10) q;
SELECT found(array_agg(id), 1, 1), limit_known() FROM (SELECT id FROM items ORDER BY v <-> probe() LIMIT 1) q;
SELECT found(array_agg(id), 21, 30), limit_known() FROM (SELECT id FROM items ORDER BY v <-> probe() LIMIT 10 OFFSET 20) q;
SELECT found(array_agg(id), 1, 4000), limit_known() FROM (SELECT id FROM items ORDER BY v <-> probe() LIMIT ALL) q;

-- Ties at the end need rows beyond the limit.
SELECT found(array_agg(id), 1, 10), limit_known() FROM (SELECT id FROM items ORDER BY v <-> probe() FETCH FIRST 10 ROWS WITH TIES) q;
INSERT INTO items SELECT -n, v FROM items, generate_series(1, 3) n WHERE id = (SELECT id FROM nearest WHERE place = 10);
SELECT count(*) FROM (SELECT id FROM items ORDER BY v <-> probe() FETCH FIRST 10 ROWS WITH TIES) q;
SELECT count(*) FROM (SELECT id FROM items ORDER BY v <-> probe() FETCH FIRST 10 ROWS ONLY) q;
DELETE FROM items WHERE id < 0;
VACUUM items;

-- Prepared statements, with custom and generic plans.
PREPARE ten AS SELECT id FROM items ORDER BY v <-> probe() LIMIT 10;
PREPARE part(bigint, bigint) AS SELECT id FROM items ORDER BY v <-> probe() LIMIT $1 OFFSET $2;
PREPARE vector(real[]) AS SELECT id FROM items ORDER BY v <-> $1 LIMIT 10;
CREATE FUNCTION ids_of(statement text) RETURNS int[] LANGUAGE plpgsql AS $$
DECLARE
  id int;
  ids int[] := '{}';
BEGIN
  FOR id IN EXECUTE statement LOOP ids := ids || id; END LOOP;
  RETURN ids;
END $$;
SET plan_cache_mode = force_custom_plan;
SELECT found(ids_of('EXECUTE ten'), 1, 10), limit_known();
SELECT found(ids_of('EXECUTE part(10, 0)'), 1, 10), limit_known();
SELECT found(ids_of('EXECUTE part(5, 20)'), 21, 25), limit_known();
SELECT found(ids_of(format('EXECUTE vector(%L)', probe())), 1, 10), limit_known();
SET plan_cache_mode = force_generic_plan;
-- A generic plan does not know the limit and assumes a tenth of the rows; the scan learns it when it starts.
EXPLAIN (COSTS OFF) EXECUTE part(10, 0);
SELECT found(ids_of('EXECUTE ten'), 1, 10), limit_known();
SELECT found(ids_of('EXECUTE part(10, 0)'), 1, 10), limit_known();
SELECT found(ids_of('EXECUTE part(5, 20)'), 21, 25), limit_known();
SELECT found(ids_of('EXECUTE part(NULL, 0)'), 1, 4000), limit_known();
SELECT found(ids_of('EXECUTE part(NULL, NULL)'), 1, 4000), limit_known();
SELECT cardinality(ids_of('EXECUTE part(0, 0)'));
SELECT found(ids_of(format('EXECUTE vector(%L)', probe())), 1, 10), limit_known();
SELECT ids_of('EXECUTE part(-1, 0)');
RESET plan_cache_mode;
DEALLOCATE ALL;

-- SQL and PL/pgSQL functions.
CREATE FUNCTION nearest_sql(q real[], k int) RETURNS SETOF int LANGUAGE sql STABLE
AS $$ SELECT id FROM items ORDER BY v <-> q LIMIT k $$;
CREATE FUNCTION nearest_plpgsql(q real[], k int) RETURNS SETOF int LANGUAGE plpgsql STABLE
AS $$ BEGIN RETURN QUERY SELECT id FROM items ORDER BY v <-> q LIMIT k; END $$;
SELECT found(array_agg(id), 1, 10), limit_known() FROM nearest_sql(probe(), 10) id;
SELECT found(array_agg(id), 1, 10), limit_known() FROM nearest_plpgsql(probe(), 10) id;

-- LATERAL: one scan, rescanned with another vector for each row.
CREATE TABLE queries AS SELECT i AS query, probe(16, 1000000 + i) AS q FROM generate_series(1, 20) i;
ANALYZE queries;
RESET enable_seqscan;
EXPLAIN (COSTS OFF) SELECT query, id FROM queries, LATERAL (SELECT id FROM items ORDER BY v <-> q LIMIT 5) l;
SET enable_seqscan = off;
SELECT count(*), count(DISTINCT (query, id)), limit_known() FROM queries, LATERAL (SELECT id FROM items ORDER BY v <-> q LIMIT 5) l;
SELECT count(*) >= 75 AS found
FROM queries, LATERAL (SELECT id FROM items ORDER BY v <-> q LIMIT 5) l
WHERE id IN (SELECT id FROM items ORDER BY (v <-> q) + 0 LIMIT 5);
-- The same in a scalar subquery, and with a limit from the outer row.
SELECT count(*), count(nearest) FROM (SELECT query, (SELECT id FROM items ORDER BY v <-> q LIMIT 1) FROM queries) q(query, nearest);
SELECT count(*), sum(query), limit_known() FROM queries, LATERAL (SELECT id FROM items ORDER BY v <-> q LIMIT query % 3) l;

-- A limit around something that consumes more rows than it gives is not the scan's limit.
SET scann.target_recall = 0.5;
SELECT count(*), sum(id) FROM (SELECT id FROM items ORDER BY v <-> probe()) q LIMIT 1;
SELECT count(*) FROM (SELECT DISTINCT id / 1000 FROM (SELECT id FROM items ORDER BY v <-> probe() OFFSET 0) q LIMIT 5) q;
SELECT count(*) FROM (SELECT id, row_number() OVER (ORDER BY v <-> probe()) AS n FROM items) q WHERE n > 3990;
SELECT id FROM (SELECT id FROM items ORDER BY v <-> probe() OFFSET 0) q WHERE id % 2000 = 7 ORDER BY id LIMIT 2;
RESET scann.target_recall;

-- Cursors.
CREATE FUNCTION take(cursor refcursor, n int) RETURNS int[] LANGUAGE plpgsql AS $$
DECLARE
  id int;
  ids int[] := '{}';
BEGIN
  FOR i IN 1 .. n LOOP
    FETCH cursor INTO id;
    EXIT WHEN NOT FOUND;
    ids := ids || id;
  END LOOP;
  RETURN ids;
END $$;
BEGIN;
SET LOCAL scann.target_recall = 1;
DECLARE forward NO SCROLL CURSOR FOR SELECT id FROM items ORDER BY v <-> probe();
SELECT take('forward', 3) = places(1, 3) AS first;
MOVE 5 FROM forward;
SELECT take('forward', 2) = places(9, 10) AS after_move;
-- Other scans in between.
SELECT array_agg(id) = places(1, 10) AS same FROM (SELECT id FROM items ORDER BY v <-> probe() LIMIT 10) q;
SELECT take('forward', 5) = places(11, 15) AS undisturbed;
MOVE ALL FROM forward;
SELECT take('forward', 1) AS at_end;
FETCH BACKWARD 1 FROM forward;
ROLLBACK;
BEGIN;
SET LOCAL scann.target_recall = 1;
DECLARE scroll SCROLL CURSOR FOR SELECT id FROM items ORDER BY v <-> probe() LIMIT 50;
CREATE FUNCTION fetch_one(direction text) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
  scroll refcursor := 'scroll';
  id int;
BEGIN
  CASE direction
    WHEN 'last' THEN FETCH LAST FROM scroll INTO id;
    WHEN 'prior' THEN FETCH PRIOR FROM scroll INTO id;
    WHEN 'first' THEN FETCH FIRST FROM scroll INTO id;
    WHEN 'relative 3' THEN FETCH RELATIVE 3 FROM scroll INTO id;
    WHEN 'absolute 20' THEN FETCH ABSOLUTE 20 FROM scroll INTO id;
  END CASE;
  RETURN id;
END $$;
SELECT direction, place FROM unnest('{last,prior,first,relative 3,absolute 20,prior}'::text[]) WITH ORDINALITY u(direction, n),
  LATERAL (SELECT fetch_one(direction) AS id OFFSET 0) f JOIN nearest USING (id) ORDER BY n;
ROLLBACK;
-- WITH HOLD: survives the transaction, and what others do to the table.
BEGIN;
SET LOCAL scann.target_recall = 1;
DECLARE held CURSOR WITH HOLD FOR SELECT id FROM items ORDER BY v <-> probe() LIMIT 10;
SELECT take('held', 2) = places(1, 2) AS first;
COMMIT;
DELETE FROM items WHERE id = ANY (places(1, 10));
VACUUM items;
SELECT take('held', 8) = places(3, 10) AS held;
CLOSE held;
-- A cursor without a limit is planned for a tenth of the rows, and gives every row.
BEGIN;
DECLARE everything CURSOR FOR SELECT id FROM items ORDER BY v <-> probe();
SELECT cardinality(take('everything', 3000)), cardinality(take('everything', 3000));
COMMIT;

-- The limit is forgotten with its query: a failed one leaves nothing behind.
SELECT 1 / (id - id) FROM items ORDER BY v <-> probe() LIMIT 10;
SELECT array_agg(id) = places(11, 4000) AS same FROM (SELECT id FROM items ORDER BY v <-> probe()) q;
-- A query inside a query, each with its own limit.
CREATE FUNCTION inner_query(q real[]) RETURNS bigint LANGUAGE plpgsql VOLATILE
AS $$ BEGIN RETURN (SELECT count(*) FROM (SELECT id FROM items ORDER BY v <-> q LIMIT 3) i); END $$;
SELECT count(*), sum(n) FROM (SELECT id, inner_query(v) AS n FROM items ORDER BY v <-> probe() LIMIT 7) q;
DROP TABLE items, nearest, queries;
