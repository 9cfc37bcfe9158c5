-- Objects of the extension scann_am, version 0.1.0.
\echo Use "CREATE EXTENSION scann_am" to load this file. \quit

-- ---- Distances on real[] -----------------------------------------------------------------------------------------

CREATE FUNCTION scann_distance_support(internal) RETURNS internal
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION inner_product(real[], real[]) RETURNS float8
    AS 'MODULE_PATHNAME', 'scann_inner_product' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
    SUPPORT scann_distance_support;

CREATE FUNCTION negative_inner_product(real[], real[]) RETURNS float8
    AS 'MODULE_PATHNAME', 'scann_negative_inner_product' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
    SUPPORT scann_distance_support;

CREATE FUNCTION cosine_distance(real[], real[]) RETURNS float8
    AS 'MODULE_PATHNAME', 'scann_cosine_distance' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
    SUPPORT scann_distance_support;

CREATE FUNCTION l2_distance(real[], real[]) RETURNS float8
    AS 'MODULE_PATHNAME', 'scann_l2_distance' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
    SUPPORT scann_distance_support;

COMMENT ON FUNCTION inner_product(real[], real[]) IS 'inner product';
COMMENT ON FUNCTION negative_inner_product(real[], real[]) IS 'implementation of <#> operator';
COMMENT ON FUNCTION cosine_distance(real[], real[]) IS 'implementation of <=> operator';
COMMENT ON FUNCTION l2_distance(real[], real[]) IS 'implementation of <-> operator';

CREATE OPERATOR <#> (LEFTARG = real[], RIGHTARG = real[], FUNCTION = negative_inner_product, COMMUTATOR = <#>);
CREATE OPERATOR <=> (LEFTARG = real[], RIGHTARG = real[], FUNCTION = cosine_distance, COMMUTATOR = <=>);
CREATE OPERATOR <-> (LEFTARG = real[], RIGHTARG = real[], FUNCTION = l2_distance, COMMUTATOR = <->);

COMMENT ON OPERATOR <#> (real[], real[]) IS 'negative inner product';
COMMENT ON OPERATOR <=> (real[], real[]) IS 'cosine distance';
COMMENT ON OPERATOR <-> (real[], real[]) IS 'Euclidean distance';

-- ---- The access method -------------------------------------------------------------------------------------------

CREATE FUNCTION scann_handler(internal) RETURNS index_am_handler
    AS 'MODULE_PATHNAME' LANGUAGE C;

CREATE ACCESS METHOD scann TYPE INDEX HANDLER scann_handler;

COMMENT ON ACCESS METHOD scann IS 'approximate nearest neighbours by partitions and anisotropic quantisation';

CREATE FUNCTION scann_real_ip_support(internal) RETURNS internal
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION scann_real_cosine_support(internal) RETURNS internal
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION scann_real_l2_support(internal) RETURNS internal
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE OPERATOR CLASS real_ip_ops DEFAULT FOR TYPE real[] USING scann AS
    OPERATOR 1 <#> (real[], real[]) FOR ORDER BY float_ops,
    FUNCTION 1 scann_real_ip_support(internal);

CREATE OPERATOR CLASS real_cosine_ops FOR TYPE real[] USING scann AS
    OPERATOR 1 <=> (real[], real[]) FOR ORDER BY float_ops,
    FUNCTION 1 scann_real_cosine_support(internal);

CREATE OPERATOR CLASS real_l2_ops FOR TYPE real[] USING scann AS
    OPERATOR 1 <-> (real[], real[]) FOR ORDER BY float_ops,
    FUNCTION 1 scann_real_l2_support(internal);

-- ---- Inspection --------------------------------------------------------------------------------------------------

CREATE FUNCTION scann_index_info(
    index regclass,
    OUT metric text, OUT dimensions int, OUT trained boolean, OUT needs_reindex boolean, OUT num_leaves int,
    OUT dimensions_per_block int, OUT rows bigint, OUT void_entries bigint, OUT null_rows bigint,
    OUT rows_at_build bigint, OUT anisotropic_quantization_threshold float8, OUT effective_dimensions float8,
    OUT rotation text, OUT instruction_set text)
    AS 'MODULE_PATHNAME' LANGUAGE C STRICT PARALLEL RESTRICTED;

CREATE FUNCTION scann_partitions(
    index regclass,
    OUT partition int, OUT rows bigint, OUT void_entries bigint, OUT pages bigint, OUT sigma float8)
    RETURNS SETOF record
    AS 'MODULE_PATHNAME' LANGUAGE C STRICT PARALLEL RESTRICTED;

CREATE FUNCTION scann_calibration(
    index regclass,
    OUT k int, OUT target_recall real, OUT recall real, OUT candidates int, OUT margin real, OUT codes real)
    RETURNS SETOF record
    AS 'MODULE_PATHNAME' LANGUAGE C STRICT PARALLEL RESTRICTED;

CREATE FUNCTION scann_check(index regclass, heapallindexed boolean DEFAULT false) RETURNS void
    AS 'MODULE_PATHNAME' LANGUAGE C STRICT PARALLEL UNSAFE;

CREATE FUNCTION scann_evaluate_recall(index regclass, k int DEFAULT 10, queries int DEFAULT 100) RETURNS float8
    AS 'MODULE_PATHNAME' LANGUAGE C STRICT PARALLEL UNSAFE;

CREATE FUNCTION scann_tune(
    index regclass, queries text, k int DEFAULT 10,
    OUT target_recall real, OUT recall real, OUT candidates int, OUT margin real, OUT codes real)
    RETURNS SETOF record
    AS 'MODULE_PATHNAME' LANGUAGE C STRICT PARALLEL UNSAFE;

CREATE FUNCTION scann_scan_stats(
    OUT rounds bigint, OUT leaves bigint, OUT entries bigint, OUT reordered bigint, OUT returned bigint)
    AS 'MODULE_PATHNAME' LANGUAGE C STRICT PARALLEL RESTRICTED;

COMMENT ON FUNCTION scann_index_info(regclass) IS 'what a scann index holds';
COMMENT ON FUNCTION scann_partitions(regclass) IS 'the partitions of a scann index';
COMMENT ON FUNCTION scann_calibration(regclass) IS
    'the recall that the build of a scann index or scann_tune measured, and the effort it takes';
COMMENT ON FUNCTION scann_check(regclass, boolean) IS
    'verifies the pages of a scann index and, if asked, that every row is indexed; raises an error otherwise';
COMMENT ON FUNCTION scann_evaluate_recall(regclass, int, int) IS
    'recall@k of a scann index at the current settings, with rows of the table as queries';
COMMENT ON FUNCTION scann_tune(regclass, text, int) IS
    'calibrates a scann index anew with the vectors that an SQL query returns, and shows the efforts for LIMIT k';
COMMENT ON FUNCTION scann_scan_stats() IS 'what this session''s last scann index scan did';
