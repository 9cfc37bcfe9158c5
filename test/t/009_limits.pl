# Cancelled, and short of memory or disk: a build or scan that is cancelled, or ends for lack of room, says so, leaves
# nothing behind and the server healthy; with little maintenance_work_mem an index is built all the same, and with
# little work_mem a scan is complete.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use List::Util qw(min);
use ScannTest;
use Test::More;
use Time::HiRes qw(sleep time);

my $dims = 64;
my $node = new_server('limits');
create_vectors($node, 'items', rows => 12_000, dims => $dims);
create_vectors($node, 'wide', rows => 1_200, dims => 1_500);
my $data_directory = $node->data_dir;

# Files of the database, and of temporary ones: a build that failed leaves none.
sub files
{
	$node->safe_psql('postgres', 'CHECKPOINT');
	my $database = $node->safe_psql('postgres', 'SELECT oid FROM pg_database WHERE datname = current_database()');
	my @relations = grep { /\/\d+$/ } glob "$data_directory/base/$database/*";
	my @temporary = glob "$data_directory/base/pgsql_tmp/*";
	# Files of dropped relations live until the next checkpoint, empty.
	return join "\n", sort @temporary, grep { -s $_ } @relations;
}

sub test_failure
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($name, $sql, $expected) = @_;
	my $before = files();
	my $started = time;
	my ($status, $out, $errors) = $node->psql('postgres', "\\set VERBOSITY verbose\n$sql");
	cmp_ok(time - $started, '<', 20, "$name: ends soon");
	isnt($status, 0, "$name: fails");
	like($errors, $expected, "$name: with this error");
	is(files(), $before, "$name: leaves nothing behind");
	is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_locks WHERE relation = 'items'::regclass}),
		0, "$name: no lock is held");
	return;
}

# ---- Cancel ----------------------------------------------------------------------------------------------------------

my $create = 'CREATE INDEX items_v ON items USING scann (v real_l2_ops)';
# The quickest of some builds, so that none is likely to end before its timeout.
my $milliseconds = min map {
	my $started = time;
	$node->safe_psql('postgres', "$create; DROP INDEX items_v");
	1000 * (time - $started);
} 1 .. 4;
note("a build takes $milliseconds ms");

# Spread over the phases of a build.
foreach my $part (0.1, 0.3, 0.5, 0.7, 0.85)
{
	my $timeout = int($milliseconds * $part) + 1;
	test_failure("statement_timeout at $part of a build", "SET statement_timeout = $timeout; $create; SELECT 1/0;",
		qr/ERROR:  57014: canceling statement due to statement timeout/);
}

# In each phase that the server reports. It is looked for a thousand times a second; some phases may be over sooner.
my $met = 0;
foreach my $phase ('sampling rows', 'training partitions', 'training codebook', 'assigning and encoding rows',
	'sorting by partition', 'writing partitions', 'calibrating')
{
	my $name = "pg_cancel_backend while $phase";
	my $before = files();
	my $builder = start_client($node, 'CREATE INDEX items_v ON items USING scann (v) WITH (num_leaves = 500);');
	$node->safe_psql('postgres', <<"SQL");
DO \$\$
DECLARE
  began bool := false;
  builders int;
BEGIN
  FOR i IN 1 .. 20000 LOOP
    PERFORM pg_cancel_backend(pid) FROM pg_stat_progress_create_index WHERE phase = 'building index: $phase';
    EXIT WHEN FOUND;
    SELECT count(*) INTO builders FROM pg_stat_progress_create_index;
    EXIT WHEN began AND builders = 0;
    began := began OR builders > 0;
    PERFORM pg_sleep(0.001), pg_stat_clear_snapshot();
  END LOOP;
END \$\$
SQL
	my $errors = finish_client($builder);
	if ($errors eq '')
	{
		note("$name: too late");
		$node->safe_psql('postgres', 'DROP INDEX items_v');
		next;
	}
	++$met;
	like($errors, qr/canceling statement due to user request/, $name);
	is(files(), $before, "$name: leaves nothing behind");
}
cmp_ok($met, '>=', 3, 'most phases were met');

$node->safe_psql('postgres', $create);
check_index($node, 'items_v', 'a build after all those is sound');
same_answers($node, 'items', 'a build after all those answers exactly');

# ---- Parallel workers ------------------------------------------------------------------------------------------------

$node->safe_psql('postgres', 'DROP INDEX items_v; ALTER TABLE items SET (parallel_workers = 2)');
$node->append_conf('postgresql.conf', 'log_min_messages = debug1');
$node->reload;

# How many workers began since the log had this size.
sub workers_since
{
	my ($size) = @_;
	my $log = PostgreSQL::Test::Utils::slurp_file($node->logfile, $size);
	my $count = () = $log =~ /starting background worker process "parallel worker for PID/g;
	return $count;
}

# Enough for two workers.
$create = "SET maintenance_work_mem = '256MB'; $create";
my $alone = "SET max_parallel_maintenance_workers = 0; $create";
my $log_size = -s $node->logfile;
$node->safe_psql('postgres', $alone);
is(workers_since($log_size), 0, 'no workers when none are allowed');
my $facts = q{SELECT md5(string_agg(p::text, '|')) FROM scann_partitions('items_v') p
  UNION ALL SELECT md5(string_agg(c::text, '|')) FROM scann_calibration('items_v') c};
my $expected = $node->safe_psql('postgres', $facts);
foreach my $workers (1, 2)
{
	$log_size = -s $node->logfile;
	$node->safe_psql('postgres', "DROP INDEX items_v; SET max_parallel_maintenance_workers = $workers; $create");
	is(workers_since($log_size), 2 * $workers, "$workers workers train, and load");
	is($node->safe_psql('postgres', $facts), $expected, "$workers workers build the same index");
	check_index($node, 'items_v', "an index built by $workers workers is sound");
}
$node->safe_psql('postgres', 'DROP INDEX items_v');

# Builds the index and calls a function with the pid of a worker in that phase. Returns whether one was met, and the
# build's error.
sub meet_worker
{
	my ($function, $phase) = @_;
	my $builder = start_client($node, "$create WITH (num_leaves = 1000);");
	my $met = $node->safe_psql('postgres', <<"SQL");
SET test.met = 'no';
DO \$\$
BEGIN
  FOR i IN 1 .. 10000 LOOP
    PERFORM $function(a.pid) FROM pg_stat_activity a JOIN pg_stat_progress_create_index p ON p.pid = a.leader_pid
      WHERE phase = 'building index: $phase' AND a.pid <> p.pid;
    IF FOUND THEN
      SET test.met = 'yes';
      EXIT;
    END IF;
    EXIT WHEN EXISTS (SELECT FROM pg_class WHERE relname = 'items_v');
    PERFORM pg_sleep(0.001), pg_stat_clear_snapshot();
  END LOOP;
END \$\$;
SHOW test.met;
SQL
	return ($met, finish_client($builder));
}

# A worker that is cancelled or terminated ends the build, whatever it was doing. It may be over too soon.
foreach my $function ('pg_cancel_backend', 'pg_terminate_backend')
{
	foreach my $phase ('training partitions', 'assigning and encoding rows')
	{
		my $name = "$function of a worker while $phase";
		my $before = files();
		my ($met, $errors) = ('no', '');
		for (my $attempt = 0; $attempt < 10 && $errors eq ''; ++$attempt)
		{
			($met, $errors) = meet_worker($function, $phase);
			$node->safe_psql('postgres', 'DROP INDEX IF EXISTS items_v') if $errors eq '';
		}
		is($met, 'yes', "$name: was met");
		like($errors, qr/canceling statement due to user request|terminating (?:background worker|connection)/,
			"$name: ends the build");
		is(files(), $before, "$name: leaves nothing behind");
	}
}

$node->append_conf('postgresql.conf', 'log_min_messages = warning');
$node->reload;
$node->safe_psql('postgres', $create);

# A scan through many rows, stopped in the middle of it.
my $scans = <<'SQL';
SET enable_seqscan = off;
SET scann.target_recall = 1;
SELECT count(*) FROM generate_series(1, 100000) AS i,
  LATERAL (SELECT id FROM items ORDER BY v <-> (SELECT v FROM test.queries WHERE query = 1 + i % 20 LIMIT 1) LIMIT 10) AS n;
SQL
test_failure('statement_timeout in a scan', "SET statement_timeout = 500; $scans",
	qr/ERROR:  57014: canceling statement due to statement timeout/);
my $scanner = start_client($node, $scans);
wait_until(sub { $node->safe_psql('postgres',
		q{SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT count%LATERAL%' AND pid <> pg_backend_pid()}) });
sleep 0.3;
$node->safe_psql('postgres',
	q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT count%LATERAL%' AND pid <> pg_backend_pid()});
like(finish_client($scanner), qr/canceling statement due to user request/, 'pg_cancel_backend in a scan');

# A cancelled insert and a cancelled VACUUM leave an index that is whole.
$node->psql('postgres', "SET statement_timeout = 700; INSERT INTO items (v) SELECT test.vector($dims) FROM generate_series(1, 1000000)");
$node->safe_psql('postgres', 'DELETE FROM items WHERE id % 2 = 0 AND id < 12000');
$node->psql('postgres', 'SET vacuum_cost_delay = 5; SET vacuum_cost_limit = 50; SET statement_timeout = 300; VACUUM items');
check_index($node, 'items_v', 'after a cancelled insert and VACUUM the index is sound');
same_answers($node, 'items', 'after a cancelled insert and VACUUM the index answers exactly');
$node->safe_psql('postgres', 'VACUUM items');
check_index($node, 'items_v', 'after another VACUUM the index is sound');
same_answers($node, 'items', 'after another VACUUM the index answers exactly');

# ---- Too little room -------------------------------------------------------------------------------------------------

test_failure('temp_file_limit', "SET maintenance_work_mem = '1MB'; SET temp_file_limit = 100; CREATE INDEX ON items USING scann (v)",
	qr/ERROR:  53400: temporary file size exceeds "?temp_file_limit/);

foreach my $table ('items', 'wide')
{
	foreach my $class ('real_ip_ops', 'real_l2_ops')
	{
		my $name = "$class on $table in 1MB";
		my ($status, undef, $errors) = $node->psql('postgres',
			"\\set VERBOSITY verbose\nSET maintenance_work_mem = '1MB'; CREATE INDEX small ON $table USING scann (v $class)");
		if ($status == 0)
		{
			pass("$name: is built");
			$node->safe_psql('postgres', 'DROP INDEX IF EXISTS items_v');
			check_index($node, 'small', "$name: is sound");
			same_answers($node, $table, "$name: answers exactly", operator => $class eq 'real_l2_ops' ? '<->' : '<#>');
			$node->safe_psql('postgres', 'DROP INDEX small');
		}
		else
		{
			like($errors, qr/ERROR:  (?:53200|53000|54000): .*HINT:.*maintenance_work_mem/s, "$name: says what is missing");
		}
	}
}

# More rows than work_mem holds: several passes, every row once, in order.
$node->safe_psql('postgres', $create);
my $rows = $node->safe_psql('postgres', 'SELECT count(*) FROM items');
my $counts = $node->safe_psql('postgres', <<'SQL');
SET work_mem = '64kB';
SET enable_seqscan = off;
SET enable_sort = off;
SELECT v AS q FROM test.queries WHERE table_name = 'items' AND query = 1 \gset
SELECT count(*), count(DISTINCT id), count(*) FILTER (WHERE d < before)
  FROM (SELECT id, d, lag(d) OVER () AS before
        FROM (SELECT id, v <-> :'q' AS d FROM items ORDER BY v <-> :'q') AS scanned) AS compared;
SELECT returned, rounds > 1 FROM scann_scan_stats();
SQL
is($counts, "$rows|$rows|0\n$rows|t", 'a scan beyond work_mem gives every row once, in order');

log_is_clean($node);
done_testing();
