# Many clients at once: inserts, updates, deletes, ordered queries and VACUUM run against each other without an error,
# and so do CREATE INDEX CONCURRENTLY and REINDEX CONCURRENTLY under writes. Afterwards every index passes scann_check
# with every row found, and answers as a sequential scan does. The server has loaded the library for all of them.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use ScannTest;
use Test::More;

my $dims = 16;
my $node = new_server('concurrency', settings => "max_connections = 40\nshared_preload_libraries = 'scann_am'");
is($node->safe_psql('postgres', "SELECT setting FROM pg_settings WHERE name = 'scann.target_recall'"), '0.95',
	'a new connection has the library');
create_vectors($node, 'items', rows => 3_000, dims => $dims);
$node->safe_psql('postgres', <<'SQL');
ALTER TABLE items ADD PRIMARY KEY (id);
CREATE INDEX items_l2 ON items USING scann (v real_l2_ops);
-- Its index grows from nothing, with many vacuumed places in its only list.
CREATE TABLE fresh (LIKE items INCLUDING ALL);
INSERT INTO test.queries SELECT 'fresh', query, v FROM test.queries;

-- Raises an error unless an ordered query gives `wanted` rows, none of them twice, in order of their distances. NULL
-- and NaN distances come last.
CREATE FUNCTION test.check_query(wanted int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  q real[] := test.vector(16);
  ids int[];
  distances float8[];
BEGIN
  SELECT array_agg(id), array_agg(d) INTO ids, distances
    FROM (SELECT id, v <-> q AS d FROM items ORDER BY v <-> q LIMIT wanted) AS nearest;
  IF cardinality(ids) <> wanted OR (SELECT count(DISTINCT i) FROM unnest(ids) AS i) <> wanted THEN
    RAISE EXCEPTION '% ids instead of %: %', cardinality(ids), wanted, ids;
  END IF;
  IF distances <> ARRAY(SELECT d FROM unnest(distances) AS d ORDER BY d) THEN
    RAISE EXCEPTION 'out of order: %', distances;
  END IF;
END $$;
SQL

my %scripts = (
	insert => <<"SQL",
INSERT INTO items (v) VALUES (test.vector($dims));
INSERT INTO fresh (v) VALUES (test.vector($dims));
INSERT INTO items (v) SELECT CASE WHEN i % 4 > 0 THEN test.vector($dims) END FROM generate_series(1, 4) AS i;
SQL
	update => <<"SQL",
\\set id random(1, 3000)
UPDATE items SET v = test.vector($dims) WHERE id = :id;
UPDATE fresh SET v = v WHERE id = :id;
UPDATE items SET v = v WHERE id = :id + 1;
SQL
	delete => <<'SQL',
\set id random(1, 6000)
DELETE FROM items WHERE id IN (:id, :id + 1, :id + 2) AND (SELECT count(*) FROM items) > 1000;
DELETE FROM fresh WHERE id = :id / 10;
SQL
	abort => <<"SQL",
BEGIN;
INSERT INTO items (v) SELECT test.vector($dims) FROM generate_series(1, 3);
ROLLBACK;
SQL
	select => 'SELECT test.check_query(10);',
	select_many => "SELECT test.check_query(400);",
	vacuum => "VACUUM items;\nVACUUM fresh;\n\\sleep 30 ms\n");

my $runs = 0;
sub run_clients
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($name, $seconds, %weights) = @_;
	# Each run writes its scripts to files, which must be new.
	my $run = ++$runs;
	my %files = map { ("$_$run\@$weights{$_}" => $scripts{$_}) } keys %weights;
	local $ENV{PGOPTIONS} = '-c enable_seqscan=off -c jit=off';
	$node->pgbench("--no-vacuum --client=6 --jobs=2 --time=$seconds", 0, [qr/actually processed/], [qr/^\s*$/s], $name,
		\%files);
	return;
}

sub test_indexes
{
	my ($when, @indexes) = @_;
	check_index($node, $_, "$when: $_ is sound") foreach @indexes;
	same_answers($node, 'items', "$when: items is answered exactly", limit => 100);
	same_answers($node, 'fresh', "$when: fresh is answered exactly", limit => 100);
	return;
}

my %writes = (insert => 4, update => 4, delete => 2, abort => 1);
my %everything = (%writes, select => 6, select_many => 1, vacuum => 1);
run_clients('inserts, updates, deletes, queries and VACUUM at once', 12, %everything);
test_indexes('after all at once', 'items_l2', 'fresh_v_idx');

# ---- Builds under writes ---------------------------------------------------------------------------------------------

# Repeats a command while clients work, and tests that neither failed.
sub build_under_writes
{
	my ($name, $sql) = @_;
	my $builder = start_client($node, $sql);
	run_clients("$name: clients", 8, %everything);
	is(finish_client($builder), '', "$name: no errors");
	return;
}

build_under_writes('CREATE INDEX CONCURRENTLY', <<'SQL' x 5);
SET client_min_messages = warning;
DROP INDEX CONCURRENTLY IF EXISTS items_ip;
CREATE INDEX CONCURRENTLY items_ip ON items USING scann (v real_ip_ops);
SQL
test_indexes('after CREATE INDEX CONCURRENTLY', 'items_l2', 'items_ip');
same_answers($node, 'items', 'the new index answers exactly', operator => '<#>');

build_under_writes('REINDEX CONCURRENTLY', <<'SQL' x 5);
REINDEX INDEX CONCURRENTLY items_l2;
REINDEX TABLE CONCURRENTLY fresh;
SQL
test_indexes('after REINDEX CONCURRENTLY', 'items_l2', 'fresh_v_idx', 'items_ip');
is($node->safe_psql('postgres', 'SELECT count(*) FROM pg_index WHERE NOT indisvalid'), 0, 'no invalid index is left');

# Empty to full and back, with all entries void in between.
$node->safe_psql('postgres', 'DELETE FROM items; VACUUM items;');
is($node->safe_psql('postgres', "SELECT rows FROM scann_index_info('items_l2')"), 0, 'an emptied index holds nothing');
insert_vectors($node, 'items', rows => 2_000, dims => $dims);
test_indexes('after all rows went', 'items_l2', 'items_ip');

log_is_clean($node);
done_testing();
