# scann_tune: queries from another distribution than the rows', for which the calibration of the build misses its target,
# reach it within 0.01 after tuning with other queries of that distribution; and what was tuned survives a crash.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Utils;
use ScannTest;
use Test::More;

my $node = new_server('tune');
my $dims = 32;
my @data = ('--dbname' => $node->connstr('postgres'), '--dims' => $dims,
	'--data' => bench_generate(rows => 20_000, dims => $dims, clusters => 200));

# The strange queries: a few wide clusters elsewhere. One half to tune with, the other to measure with.
my $strange = slurp_file(bench_generate(rows => 8000, dims => $dims, clusters => 3, spread => 2, seed => 7));
my %half = (tune => substr($strange, 0, length($strange) / 2), ask => substr($strange, length($strange) / 2));
my %file;
foreach my $name (keys %half)
{
	$file{$name} = PostgreSQL::Test::Utils::tempdir() . "/$name.f32";
	append_to_file($file{$name}, $half{$name});
}

sub recall
{
	my ($operator, $limit, $target) = @_;
	my $measured = bench('query', @data, '--query-data' => $file{ask}, '--operator' => $operator, '--limit' => $limit,
		'--queries' => 4000, '--warmup' => 0, '--sample' => 1, '--set' => "scann.target_recall=$target");
	like($measured->{plan}, qr/Index Scan using/, "$operator: by index");
	return $measured->{recall};
}

bench('load', @data);
bench('load', @data, '--data' => $file{tune}, '--table' => 'my_queries');
my %class = ('<#>' => 'real_ip_ops', '<=>' => 'real_cosine_ops', '<->' => 'real_l2_ops');
foreach my $operator (sort keys %class)
{
	bench('index', @data, '--drop-indexes', '--index', "CREATE INDEX tuned ON {table} USING scann (v $class{$operator})");
	my $before = recall($operator, 10, 0.95);
	note("$operator: recall $before as built");
	# (Cosines to rows of all clusters are alike for the strange queries and for the rows.)
	cmp_ok($before, '<', 0.9, "$operator: the build's calibration is not for such queries") if $operator ne '<=>';
	$node->safe_psql('postgres', "SELECT scann_tune('tuned', 'SELECT v FROM my_queries', 10)");
	foreach my $case ([ 1, 0.95 ], [ 10, 0.8 ], [ 10, 0.95 ], [ 10, 0.99 ], [ 10, 0.998 ], [ 100, 0.95 ])
	{
		my ($limit, $target) = @$case;
		my $recall = recall($operator, $limit, $target);
		note("$operator, limit $limit: recall $recall of $target");
		cmp_ok($recall, '>=', $target - 0.01, "$operator, limit $limit: the tuned index reaches $target");
		# A search of everything would, too. With LIMIT 1 a query finds its row or does not: the means of so few vary.
		cmp_ok($recall, '<=', $target + 0.02, "$operator, limit $limit: and not much more than $target") if $limit > 1;
	}
	$node->safe_psql('postgres', "SELECT scann_tune('tuned', 'SELECT v FROM my_queries LIMIT 150', 10)");
	my $few = recall($operator, 10, 0.99);
	note("$operator, tuned with 150 queries: recall $few of 0.99");
	cmp_ok($few, '>=', 0.98, "$operator: few queries do for a high target");
}

my $calibration = q{SELECT * FROM scann_calibration('tuned')};
my $tuned = $node->safe_psql('postgres', $calibration);
crash_and_restart($node);
is($node->safe_psql('postgres', $calibration), $tuned, 'what was tuned survives a crash');
$node->safe_psql('postgres', 'REINDEX INDEX tuned');
isnt($node->safe_psql('postgres', $calibration), $tuned, 'REINDEX calibrates with rows');

log_is_clean($node);
done_testing();
