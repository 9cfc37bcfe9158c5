# A streaming standby: with wal_consistency_checking every replayed page equals the primary's; after ten rounds of
# delete, VACUUM and insert the index answers as the primary's; queries on the standby during replay get complete
# answers without an error; after promotion the index is sound.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use ScannTest;
use Test::More;

my $dims = 24;
my $primary = new_server('primary', init => [ allows_streaming => 1 ], settings => <<'CONF');
wal_consistency_checking = 'all'
max_connections = 20
CONF
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
# Replay waits for running queries rather than cancel them: they must not fail.
$standby->append_conf('postgresql.conf', 'max_standby_streaming_delay = -1');
$standby->start;

sub test_standby
{
	my ($table, $name) = @_;
	$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
	foreach my $recall (0.9, 1)
	{
		my $expected = answers($primary, $table, limit => 30, target_recall => $recall);
		is(answers($standby, $table, limit => 30, target_recall => $recall),
			$expected, "$name: $table at target_recall $recall");
	}
	same_answers($standby, $table, "$name: $table is answered exactly", limit => 30);
	return;
}

# Built on data; grown from nothing; vectors that take two pages each.
create_vectors($primary, 'items', rows => 3_000, dims => $dims);
$primary->safe_psql('postgres', <<"SQL");
CREATE INDEX ON items USING scann (v real_l2_ops);
CREATE TABLE fresh (LIKE items INCLUDING ALL);
INSERT INTO test.queries SELECT 'fresh', query, v FROM test.queries;
SQL
create_vectors($primary, 'wide', rows => 20, dims => 9_000);
$primary->safe_psql('postgres', 'CREATE INDEX ON wide USING scann (v real_l2_ops)');
test_standby('items', 'after the build');
test_standby('wide', 'after the build');

# The standby answers all the while. A query always finds its 10 rows, and never one twice.
my $reader = start_client($standby, <<"SQL" x 20_000);
SET enable_seqscan = off;
DO \$\$
DECLARE
  found int;
BEGIN
  SELECT count(DISTINCT id) INTO found
    FROM (SELECT id FROM items ORDER BY v <-> (SELECT v FROM test.queries WHERE table_name = 'items' ORDER BY random()
                                               LIMIT 1) LIMIT 10) AS nearest;
  IF found <> 10 THEN
    RAISE EXCEPTION 'found % rows', found;
  END IF;
END \$\$;
SQL

for my $round (1 .. 10)
{
	$primary->safe_psql('postgres', <<"SQL");
DELETE FROM items WHERE id % 10 = $round - 1;
DELETE FROM fresh WHERE id % 10 = $round - 1;
DELETE FROM wide WHERE id % 10 = $round - 1;
VACUUM items, fresh, wide;
INSERT INTO items (v) SELECT test.vector($dims) FROM generate_series(1, 400);
UPDATE items SET v = test.vector($dims) WHERE id % 40 = $round;
INSERT INTO items (v) VALUES (NULL);
INSERT INTO fresh (v) SELECT test.vector($dims) FROM generate_series(1, 200);
INSERT INTO wide (v) SELECT test.vector(9000) FROM generate_series(1, 2);
SQL
	test_standby('items', "round $round") if $round % 3 == 1;
}
test_standby($_, 'after ten rounds') foreach qw(items fresh wide);
ok($reader->{run}->pumpable, 'the standby answered until the end');
$reader->{run}->kill_kill(grace => 5);
is($reader->{errors}, '', 'queries on the standby never failed');

# ---- What else is replayed -------------------------------------------------------------------------------------------

$primary->safe_psql('postgres', <<"SQL");
REINDEX INDEX CONCURRENTLY items_v_idx;
SELECT scann_tune('items_v_idx', 'SELECT test.vector($dims) FROM generate_series(1, 200)');
TRUNCATE fresh;
INSERT INTO fresh (v) SELECT test.vector($dims) FROM generate_series(1, 50);
SQL
test_standby('items', 'after REINDEX CONCURRENTLY and scann_tune');
my $calibration = q{SELECT * FROM scann_calibration('items_v_idx')};
is($standby->safe_psql('postgres', $calibration), $primary->safe_psql('postgres', $calibration),
	'what scann_tune found is replayed');
my (undef, undef, $errors) = $standby->psql('postgres', q{SELECT scann_tune('items_v_idx', 'SELECT v FROM items')});
like($errors, qr/cannot execute scann_tune\(\) during recovery/, 'a standby is not tuned');
test_standby('fresh', 'after TRUNCATE');

$standby->promote;
check_index($standby, $_, "promoted: $_ is sound") foreach qw(items_v_idx fresh_v_idx wide_v_idx);
insert_vectors($standby, 'items', rows => 200, dims => $dims);
check_index($standby, 'items_v_idx', 'promoted: items_v_idx is sound after inserts');
same_answers($standby, 'items', 'promoted: items_v_idx answers exactly');

log_is_clean($_) foreach $primary, $standby;

done_testing();
