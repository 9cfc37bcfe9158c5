\set ECHO none
-- What the regression tests share: the extension, reproducible vectors, and comparisons with exact answers.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS scann_am;

-- A number between -1 and 1 that depends on nothing but the arguments.
CREATE OR REPLACE FUNCTION noise(a int, b int) RETURNS float8 LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$ SELECT (hashint8extended(a::bigint << 20 | b, 42) >> 11) / 4503599627370496.0 $$;

-- Vector number i of a clustered set: a centre, shared with the rows of the same remainder, and a displacement.
CREATE OR REPLACE FUNCTION clustered(i int, dims int, clusters int DEFAULT 40, spread float8 DEFAULT 0.6) RETURNS real[]
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$
  SELECT array_agg((noise(-1 - i % clusters, j) + spread * noise(i, j))::real ORDER BY j) FROM generate_series(1, dims) j
$$;

-- A query vector that EXPLAIN prints by name.
CREATE OR REPLACE FUNCTION probe(dims int DEFAULT 16, i int DEFAULT 1000000) RETURNS real[]
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
AS $$ BEGIN RETURN clustered(i, dims); END $$;

-- The plan of a query, without costs.
CREATE OR REPLACE FUNCTION plan_of(query text) RETURNS SETOF text LANGUAGE plpgsql
AS $$ BEGIN RETURN QUERY EXECUTE 'EXPLAIN (COSTS OFF) ' || query; END $$;

-- Whether a query is planned to use a scann index.
CREATE OR REPLACE FUNCTION uses_index(query text) RETURNS boolean LANGUAGE sql
AS $$ SELECT bool_or(line ~ 'Index Scan using' AND line !~ 'btree|pkey') FROM plan_of(query) line $$;

-- What a statement fails with: SQLSTATE, message, detail, hint.
CREATE OR REPLACE FUNCTION error_of(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  state text; message text; detail text; hint text;
BEGIN
  EXECUTE statement;
  RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
  RETURN concat_ws(' | ', state, message, nullif(detail, ''), nullif(hint, ''));
END
$$;

-- Runs a query (id, distance), whose vector is $1, by an index and by a sequential scan, for vectors 1 to `queries` of
-- `vectors`. `missing`: rows that only the sequential scan returned. `misplaced`: rows nearer than the one before.
-- `farther`: rows farther away than the sequential scan's last row, which are the misses of an approximate search.
CREATE OR REPLACE FUNCTION compare(query text, queries int, dims int, vector_seed int DEFAULT 1000000,
                                   OUT rows bigint, OUT missing bigint, OUT misplaced bigint, OUT farther bigint)
LANGUAGE plpgsql AS $$
DECLARE
  vector real[];
  expected float8[];
  ids bigint[];
  distances float8[];
BEGIN
  rows := 0; missing := 0; misplaced := 0; farther := 0;
  FOR i IN 1 .. queries LOOP
    vector := clustered(vector_seed + i, dims);
    PERFORM set_config('enable_indexscan', 'off', true), set_config('enable_seqscan', 'on', true);
    EXECUTE 'SELECT array_agg(distance ORDER BY distance) FROM (' || query || ') q(id, distance)' INTO expected USING vector;
    PERFORM set_config('enable_indexscan', 'on', true), set_config('enable_seqscan', 'off', true);
    IF NOT uses_index(replace(query, '$1', quote_literal(vector) || '::real[]')) THEN
      RAISE EXCEPTION 'no index is used for %', query;
    END IF;
    EXECUTE 'SELECT array_agg(id), array_agg(distance) FROM (' || query || ') q(id, distance)' INTO ids, distances USING vector;
    IF ids IS NULL THEN
      missing := missing + coalesce(cardinality(expected), 0);
      CONTINUE;
    END IF;
    rows := rows + cardinality(ids);
    missing := missing + cardinality(expected) - (SELECT count(DISTINCT id) FROM unnest(ids) id);
    misplaced := misplaced + (SELECT count(*) FROM generate_series(2, cardinality(ids)) n WHERE distances[n] < distances[n - 1]);
    farther := farther + (SELECT count(*) FROM unnest(distances) d WHERE d > expected[cardinality(expected)]);
  END LOOP;
  PERFORM set_config('enable_seqscan', 'on', true);
END
$$;

RESET client_min_messages;
\set ECHO all
