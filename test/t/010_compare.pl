# `scann_bench compare`, with two scann indexes as contenders and one whose extension is not there: what it measures is
# possible and agrees between its files, and it refuses to measure an index that was not used. `targets` and the maps of
# `generate` as well.
use strict;
use warnings FATAL => 'all';

use FindBin;
use List::Util qw(max sum);
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Utils;
use ScannTest;
use Test::More;

my $rows = 6_000;
my $dims = 20;
my $node = new_server('compare');
my $directory = PostgreSQL::Test::Utils::tempdir();
my $vectors = bench_generate(rows => $rows + 300, dims => $dims, clusters => 50);
my @data = (
	'--dbname' => $node->connstr('postgres'),
	'--data' => $vectors, '--dims' => $dims, '--holdout' => 300, '--operator' => '<->', '--queries' => 100,
	'--rounds' => 4, '--inserts' => 150, '--out' => "$directory/results", '--name' => 'small');

# Writes a file of contenders and returns the options for it.
sub contenders
{
	my ($name, $text) = @_;
	append_to_file("$directory/$name", $text);
	return ('--contenders' => "$directory/$name");
}

# The rows of a CSV file as hashes.
sub read_csv
{
	my ($header, @lines) = map { [ /("(?:[^"]|"")*"|[^,]*)(?:,|$)/g ] } split /\n/, slurp_file($_[0]);
	pop @$_ foreach $header, @lines;    # what is matched after the end
	return map { my %row; @row{@$header} = @$_; \%row } @lines;
}

# How many rows all sessions that have ended inserted.
sub rows_inserted
{
	return $node->safe_psql('postgres', "SELECT tup_inserted FROM pg_stat_database WHERE datname = 'postgres'");
}

my @two = contenders('two', <<'CONTENDERS');
[scann]
extension = scann_am
column = real[]
index = scann (v real_{metric}_ops)
sweep = scann.target_recall: 0.7 0.9 1

[absent]
extension = no_such_extension
column = vector({dims})
index = hnsw (v vector_{metric}_ops)
sweep = hnsw.ef_search: 10

[scann, 9 leaves]
extension = scann_am
column = real[]
index = scann (v real_{metric}_ops) WITH (num_leaves = 9)
sweep = scann.target_recall: 0.95 1
CONTENDERS
my $inserted_before = rows_inserted();
my $report = bench('compare', @data, @two);
is($report->{indexes}, 2, 'the indexes that are installed take part');

my @indexes = read_csv("$directory/results/small-indexes.csv");
is_deeply([ map { $_->{index} } @indexes ], [ '"scann"', '"scann, 9 leaves"' ], 'each has a row');
foreach my $index (@indexes)
{
	my $name = $index->{index};
	is("$index->{rows} $index->{dims} $index->{operator}", qq{$rows $dims "<->"}, "$name: the data");
	like($index->{definition}, qr/^"scann \(v real_l2_ops\)/, "$name: the definition for the operator");
	cmp_ok($index->{$_}, '>', 0, "$name: $_")
	  foreach qw(build_seconds inserts_per_second insert_cpu_us first_query_us one_client_queries_per_second
	  clients_queries_per_second queries_alone_per_second queries_beside_inserts_per_second
	  inserts_beside_queries_per_second);
	cmp_ok($index->{index_bytes}, '>', $rows * $dims / 4, "$name: holds a code for each row");
}

# Three times a second of them, beside what was loaded and the rows that were inserted alone.
my $beside = sum(map { 3 * $_->{inserts_beside_queries_per_second} } @indexes);
ok(wait_until(sub { rows_inserted() - $inserted_before >= @indexes * ($rows + 150) + $beside }),
	'rows were inserted beside queries');

my @points = read_csv("$directory/results/small.csv");
is_deeply([ map { "$_->{index} $_->{value}" } @points ],
	[ '"scann" 0.7', '"scann" 0.9', '"scann" 1', '"scann, 9 leaves" 0.95', '"scann, 9 leaves" 1' ],
	'every setting of each sweep');
foreach my $point (@points)
{
	my $name = "$point->{index} at $point->{value}";
	cmp_ok($point->{recall}, '>=', $point->{value} - 0.05, "$name: recall");
	cmp_ok($point->{$_}, '>', 0, "$name: $_") foreach qw(cpu_us buffers select_1_p50_us);
	my @order = map { $point->{$_} } qw(p50_us p95_us p99_us);
	is_deeply(\@order, [ sort { $a <=> $b } @order ], "$name: percentiles ascend");
	cmp_ok($point->{fastest_round_us}, '<=', $point->{mean_us}, "$name: the mean is between those of the rounds");
	cmp_ok($point->{slowest_round_us}, '>=', $point->{mean_us}, "$name: the mean is between those of the rounds");
	cmp_ok(abs($point->{queries_per_second} * $point->{mean_us} / 1e6 - 1), '<', 0.01, "$name: queries per second");
}
is($points[$_]{recall}, '1.0000', "$points[$_]{index}: exact where that is asked for") foreach 2, 4;

my $table = slurp_file("$directory/results/small.md");
like($table, qr/^\| ≥ 0\.99, scann \|/m, 'the table sets them side by side');
like($table, qr/^\| scann \|(?: [\d,]+ \|){2} \d+% \| [\d,]+ \|$/m, 'what inserts leave of the queries');
unlike($table, qr/\bnan\b|\binf\b/i, 'the table has numbers only');
foreach my $plot (qw(small.svg small-cpu.svg))
{
	my @marks = slurp_file("$directory/results/$plot") =~ /<title>(scann\.target_recall = [^<]*)/g;
	is(scalar @marks, scalar @points, "$plot: a mark for each setting");
}
is($node->safe_psql('postgres', "SELECT count(*) FROM pg_class WHERE relname LIKE 'vectors\\_%'"), 0, 'the tables are gone');

# The same figures at another size.
bench('compare', @data, @two, '--rows' => $rows / 2, '--name' => 'half', '--inserts' => 0);
bench('growth', '--out' => "$directory/results", map { ('--results' => "$directory/results/$_-indexes.csv") } qw(small half));
is((read_csv("$directory/results/half-indexes.csv"))[0]{queries_beside_inserts_per_second}, '',
	'no inserts, no figures of them');
my ($before, $after) = slurp_file("$directory/results/growth-size.svg") =~ /class="mark s0"[^>]*><title>([^<]*)/g;
is("$before, $after", "half: @{[ (read_csv(\"$directory/results/half-indexes.csv\"))[0]{index_bytes} ]}, "
	. "small: $indexes[0]{index_bytes}", 'growth is plotted from the smaller to the larger');

# The first rows of the data, mapped to more dimensions.
sub map_of
{
	my ($file, @options) = @_;
	my $size = bench('generate', '--data' => $vectors, '--dims' => $dims, '--normalise', '--rows' => 500, '--map-to' => 64,
		'--out' => "$directory/$file", @options);
	is("$size->{rows} $size->{dims}", '500 64', "$file: size of the map");
	return slurp_file("$directory/$file");
}
my $map = map_of('map.f32');
my @mapped = unpack 'f<*', $map;
is(scalar @mapped, 500 * 64, 'the map is what was asked for');
cmp_ok(max(map { abs } @mapped), '<', 1, 'a map is between -1 and 1');
cmp_ok(abs(sum(map { $_ ** 2 } @mapped) / @mapped - 0.394), '<', 0.05, 'a map is as wide as tanh of a standard normal');
ok($map eq map_of('same.f32'), 'a map is the same for the same seed');
ok($map ne map_of('other.f32', '--seed' => 2), 'a map differs for another seed');

# What targets reach on the same rows, with an index as it is by default.
my @table = (@data, '--table' => 'indexed', '--queries' => 300);
bench('load', @table);
bench('index', @table, '--index' => 'CREATE INDEX ON {table} USING scann (v real_l2_ops)');
my $reached = bench('targets', @table);
is("$reached->{rows} $reached->{queries}", "$rows 300", 'rows and queries');
foreach my $limit (1, 10, 100, 1000)
{
	my @codes = @{ $reached->{"codes\@$limit"} };
	note("limit $limit: codes @codes");
	cmp_ok($codes[0], '<=', $codes[-1], "limit $limit: a higher target takes as much or more");
	cmp_ok($codes[0], '>=', $limit, "limit $limit: each row that is returned was scored");
	cmp_ok($codes[-1], '<=', $rows, "limit $limit: no row is scored twice");
	# By what so few queries may deviate.
	cmp_ok($reached->{"recall\@$limit"}[$_], '>=', $reached->{targets}[$_] - 0.06,
		"limit $limit: target $reached->{targets}[$_]") foreach 0 .. 4;
}
cmp_ok($reached->{'codes@10'}[0], '<', $reached->{'codes@10'}[-1], 'a high target takes more than a low one');
cmp_ok($reached->{'recall@10'}[0], '<', 0.99, 'a low target misses something');
my $other = bench('query', @table, '--set' => 'scann.target_recall=0.80', '--set' => 'enable_seqscan=off');
cmp_ok(abs($other->{recall} - $reached->{'recall@10'}[0]), '<', 1e-9, 'the recall is that of query');

bench('load', @table, '--rows' => 800);
eval { bench('targets', @table, '--rows' => 800) };
like($@, qr/the index was not used: .*Seq Scan/, 'targets without an index are an error');
bench('index', @table, '--index' => 'CREATE INDEX ON {table} USING scann (v real_l2_ops)');
my $few = bench('targets', @table, '--rows' => 800);
is_deeply([ grep { /^recall/ } sort keys %$few ], [ 'recall@1', 'recall@10', 'recall@100' ],
	'no limit beyond the number of rows');

# Runs a comparison that cannot succeed; returns the error.
sub error_of
{
	my (@options) = @_;
	eval { bench('compare', @data, @options) };
	return $@;
}

like(error_of(contenders('unused', <<'CONTENDERS')), qr/unused was not used: .*Seq Scan/, 'another plan is an error');
[unused]
extension = scann_am
column = real[]
index = btree (id)
sweep = scann.target_recall: 0.9
CONTENDERS
like(error_of(contenders('incomplete', "[x]\nextension = scann_am\n")), qr/contender x: extension, column, index/,
	'an incomplete contender is an error');
like(error_of(@two, '--contender' => 'absent'), qr/there is no index to measure/, 'nothing to measure is an error');
like(error_of(@two, '--rounds' => 0), qr/--rounds/, 'no rounds are an error');
like(error_of(@two, '--queries' => 3), qr/fewer queries than rounds/, 'rounds without a query are an error');

like(error_of(@two, '--cold' => 1), qr/^scann_bench .*: --cold needs (?:pg_buffercache of PostgreSQL 17|to be root)/s,
	'what cold queries need');

log_is_clean($node);
done_testing();
