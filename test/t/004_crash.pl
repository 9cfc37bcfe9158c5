# Crash and restart: the server is killed in the middle of inserts, of VACUUM and of builds; afterwards the index passes
# scann_check with every row found, and answers as a sequential scan does. An unlogged table is empty after a crash, and
# its index works, even when no checkpoint ever came.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use ScannTest;
use Test::More;
use Time::HiRes qw(sleep);

my $dims = 24;
my $node = new_server('crash', settings => <<'CONF');
wal_level = replica
# Replay has much to do.
checkpoint_timeout = 1h
max_wal_size = 4GB
CONF

create_vectors($node, 'items', rows => 5_000, dims => $dims);
$node->safe_psql('postgres', 'CREATE INDEX items_v ON items USING scann (v real_l2_ops)');
# One whose rows have two entries, which a crash may part.
$node->safe_psql('postgres', 'CREATE INDEX items_soar ON items USING scann (v real_cosine_ops) WITH (soar = on)');
# An index that was never trained, which begins without even the number of dimensions.
$node->safe_psql('postgres', 'CREATE TABLE fresh (LIKE items INCLUDING ALL)');
$node->safe_psql('postgres', "INSERT INTO test.queries SELECT 'fresh', query, v FROM test.queries");

sub crash
{
	my ($method) = @_;
	return crash_and_restart($node) if $method eq 'kill';
	$node->stop($method);
	$node->start;
	return;
}

# Kills the server while a client works, starts it again, and tests the indexes.
sub crash_during
{
	my ($name, $method, $sql) = @_;
	my $client = start_client($node, $sql);
	# Whatever is under way after this time, the middle of it is where the crash falls.
	sleep 1.5;
	ok($client->{run}->pumpable, "$name: the client is at work");
	crash($method);
	finish_client($client);
	check_index($node, 'items_v', "$name: items_v is sound");
	check_index($node, 'items_soar', "$name: items_soar is sound");
	check_index($node, 'fresh_v_idx', "$name: fresh_v_idx is sound");
	same_answers($node, 'items', "$name: items_v answers exactly", limit => 50);
	same_answers($node, 'items', "$name: items_soar answers exactly", limit => 50, operator => '<=>');
	same_answers($node, 'fresh', "$name: fresh_v_idx answers exactly", limit => 50);
	return;
}

my $insert_one = <<"SQL";
INSERT INTO items (v) VALUES (test.vector($dims));
INSERT INTO fresh (v) VALUES (test.vector($dims));
SQL
my $insert_many = "INSERT INTO items (v) SELECT test.vector($dims) FROM generate_series(1, 100000);";
my $churn = <<"SQL";
DELETE FROM items WHERE id % 3 = 0;
VACUUM items;
INSERT INTO items (v) SELECT test.vector($dims) FROM generate_series(1, 500);
UPDATE items SET v = test.vector($dims) WHERE id % 7 = 0;
DELETE FROM fresh WHERE id % 2 = 0;
VACUUM fresh;
INSERT INTO fresh (v) SELECT test.vector($dims) FROM generate_series(1, 50);
SQL

$node->safe_psql('postgres', $insert_one);
crash_during('inserts', 'kill', $insert_one x 100_000);
crash_during('inserts, immediate stop', 'immediate', $insert_one x 100_000);
crash_during('one long insert', 'kill', $insert_many);
crash_during('delete, vacuum, insert', 'kill', $churn x 1_000);
crash_during('delete, vacuum, insert, immediate stop', 'immediate', $churn x 1_000);
crash_during('build', 'kill', 'REINDEX INDEX items_v;' x 1_000);

my $before = $node->safe_psql('postgres', 'SELECT count(*) FROM items');
crash('immediate');
is($node->safe_psql('postgres', 'SELECT count(*) FROM items'), $before, 'what was committed survives');

# ---- Unlogged tables -------------------------------------------------------------------------------------------------

# A crash right after the index was created: no checkpoint has written its init fork.
create_vectors($node, 'unlogged_items', rows => 2_000, dims => $dims, unlogged => 1);
$node->safe_psql('postgres', 'CREATE INDEX unlogged_v ON unlogged_items USING scann (v real_l2_ops)');
same_answers($node, 'unlogged_items', 'unlogged: answers exactly before the crash');
crash('kill');
is($node->safe_psql('postgres', 'SELECT count(*) FROM unlogged_items'), 0, 'unlogged: empty after the crash');
check_index($node, 'unlogged_v', 'unlogged: the index is sound after the crash');
is( $node->safe_psql('postgres',
		"SET enable_seqscan = off; SELECT count(*) FROM (SELECT FROM unlogged_items ORDER BY v <-> '{1}' LIMIT 5) AS t"),
	0, 'unlogged: nothing is found after the crash');
insert_vectors($node, 'unlogged_items', rows => 300, dims => $dims);
check_index($node, 'unlogged_v', 'unlogged: the index is sound after new inserts');
same_answers($node, 'unlogged_items', 'unlogged: answers exactly after new inserts');
# A clean restart keeps them.
$node->restart;
is($node->safe_psql('postgres', 'SELECT count(*) FROM unlogged_items'), 300, 'unlogged: a clean restart loses nothing');
same_answers($node, 'unlogged_items', 'unlogged: answers exactly after a clean restart');
# A crash with a checkpoint behind it, and after the table became a logged one.
$node->safe_psql('postgres', 'ALTER TABLE unlogged_items SET LOGGED');
crash('immediate');
is($node->safe_psql('postgres', 'SELECT count(*) FROM unlogged_items'), 300, 'set logged: a crash loses nothing');
check_index($node, 'unlogged_v', 'set logged: the index is sound');
same_answers($node, 'unlogged_items', 'set logged: answers exactly');
$node->safe_psql('postgres', 'ALTER TABLE unlogged_items SET UNLOGGED; CHECKPOINT');
crash('kill');
is($node->safe_psql('postgres', 'SELECT count(*) FROM unlogged_items'), 0, 'set unlogged: empty after a crash');
check_index($node, 'unlogged_v', 'set unlogged: the index is sound');

$node->stop;
done_testing();
