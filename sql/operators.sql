-- Operators and functions on real[]: values, special values, and every input they refuse, with its SQLSTATE.
\getenv abs_srcdir PG_ABS_SRCDIR
\set helpers :abs_srcdir '/sql/include/helpers.sql'
\i :helpers

-- Values.
SELECT inner_product('{1,2,3}'::real[], '{4,5,6}'), '{1,2,3}'::real[] <#> '{4,5,6}' AS "<#>";
SELECT negative_inner_product('{1,2,3}'::real[], '{-4,5,6}');
SELECT l2_distance('{1,2}'::real[], '{4,6}'), '{1,2}'::real[] <-> '{4,6}' AS "<->";
SELECT round(cosine_distance('{1,1}'::real[], '{1,0}')::numeric, 12) AS cosine_distance,
       '{3,4}'::real[] <=> '{6,8}' AS same, '{3,4}'::real[] <=> '{-6,-8}' AS opposite, '{1,0}'::real[] <=> '{0,7}' AS "right angle";
SELECT '{3}'::real[] <#> '{5}' AS ip, '{3}'::real[] <-> '{5}' AS l2, '{3}'::real[] <=> '{5}' AS cosine;

-- No negative zero, which would print as -0.
SELECT '{0,0}'::real[] <#> '{1,2}' AS ip, '{1,0}'::real[] <#> '{0,1}' AS orthogonal;

-- The operators commute and give float8.
SELECT bool_and(a <#> b = b <#> a AND a <-> b = b <-> a AND a <=> b = b <=> a)
FROM (SELECT clustered(i, 37), clustered(i + 1, 37) FROM generate_series(1, 100) i) pairs(a, b);
SELECT oprname, oprleft::regtype, oprright::regtype, oprresult::regtype, oprcom = oid AS commutes
FROM pg_operator WHERE oprcode::text IN ('negative_inner_product', 'cosine_distance', 'l2_distance') ORDER BY oprname;
SELECT proname, provolatile, proisstrict, proparallel FROM pg_proc
WHERE proname IN ('inner_product', 'negative_inner_product', 'cosine_distance', 'l2_distance') ORDER BY proname;

-- They agree with plain SQL at every width, odd tails of the kernels included.
SELECT count(*) AS widths,
       bool_and(abs(inner_product(a, b) - ip) <= 1e-12 * (1 + abs(ip))) AS inner_product,
       bool_and(abs((a <-> b) - l2) <= 1e-12 * (1 + l2)) AS l2_distance,
       bool_and(abs((a <=> b) - cosine) <= 1e-12) AS cosine_distance
FROM (SELECT clustered(1, d), clustered(2, d) FROM generate_series(1, 70) d
      UNION ALL SELECT clustered(1, d), clustered(2, d) FROM unnest('{127,128,129,255,511,1023,4097,16000}'::int[]) d) v(a, b),
     LATERAL (SELECT sum(x::float8 * y), sqrt(sum((x::float8 - y) ^ 2)), 1 - sum(x::float8 * y) / sqrt(sum(x::float8 ^ 2)) / sqrt(sum(y::float8 ^ 2))
              FROM unnest(a, b) u(x, y)) exact(ip, l2, cosine);

-- Sums that a float could not hold.
SELECT '{3e38,3e38}'::real[] <#> '{3e38,3e38}' AS ip, '{3e38,0}'::real[] <-> '{-3e38,0}' AS l2,
       round(('{3e38,3e38}'::real[] <=> '{3e38,0}')::numeric, 12) AS cosine;
SELECT round(('{1e-45,0}'::real[] <=> '{1e-45,1e-45}')::numeric, 12) AS denormal;

-- A zero vector has no direction: its cosine distance is NaN, which sorts behind every number.
SELECT '{0,0}'::real[] <=> '{1,1}' AS left_zero, '{1,1}'::real[] <=> '{0,0}' AS right_zero, '{0,0}'::real[] <=> '{0,0}' AS both;
SELECT '{0,0}'::real[] <-> '{0,0}' AS l2, '{0,0}'::real[] <#> '{0,0}' AS ip;

-- NULL in, NULL out.
SELECT NULL::real[] <#> '{1}' IS NULL AS ip, '{1}'::real[] <-> NULL IS NULL AS l2, NULL::real[] <=> NULL IS NULL AS cosine;

-- Values from a table: compressed, out of line, with another lower bound.
CREATE TABLE wide (id int, v real[]);
INSERT INTO wide VALUES (1, clustered(1, 9000)), (2, (SELECT array_agg(0.5) FROM generate_series(1, 9000)));
SELECT a.id, b.id, (a.v <-> b.v) = (clustered(1, 9000) <-> b.v) AS same FROM wide a, wide b WHERE a.id = 1 AND b.id = 2;
SELECT v <#> v AS squared_norm FROM wide WHERE id = 2;
SELECT '[5:7]={1,2,3}'::real[] <#> '{4,5,6}' AS other_bounds;
DROP TABLE wide;

-- What is refused.
SELECT operator, error_of(format('SELECT %s %s %s', a, operator, b))
FROM (VALUES (1, $$'{1,2}'::real[]$$, $$'{1,2,3}'::real[]$$),
             (2, $$'{}'::real[]$$, $$'{}'::real[]$$),
             (3, $$'{{1,2},{3,4}}'::real[]$$, $$'{1,2,3,4}'::real[]$$),
             (4, $$'{1,NULL}'::real[]$$, $$'{1,2}'::real[]$$),
             (5, $$'{1,NaN}'::real[]$$, $$'{1,2}'::real[]$$),
             (6, $$'{1,2}'::real[]$$, $$'{Infinity,2}'::real[]$$),
             (7, $$'{1,2}'::real[]$$, $$'{1,-Infinity}'::real[]$$),
             (8, $$'{Infinity,0}'::real[]$$, $$'{Infinity,0}'::real[]$$),
             (9, 'clustered(1, 16001)', 'clustered(1, 16001)')) cases(n, a, b),
     unnest('{<#>,<=>,<->}'::text[]) operator
ORDER BY n, operator;
SELECT error_of($$SELECT inner_product('{1,2}'::real[], '{1}')$$);
SELECT error_of($$SELECT inner_product('{NaN}'::real[], '{1}')$$);
SELECT clustered(1, 16000) <-> clustered(1, 16000) AS largest;

-- Not NULL elements, though the array has a bitmap for them.
SELECT (ARRAY[1, NULL, 3]::real[])[3:3] || 2::real <#> '{1,1}' AS no_null_left;
SELECT array_replace(ARRAY[1, NULL, 3]::real[], NULL, 2) <#> '{1,1,1}' AS null_replaced;

-- Arrays of integers are cast; other types do not have the operators.
SELECT '{1,2}'::int[] <#> '{3,4}'::int[];
SELECT '{1,2}'::text[] <-> '{3,4}'::text[];
SELECT '{1,2}'::float8[] <=> '{3,4}'::float8[];
