# Recall through the life of a table: after the build, after half as many rows again were inserted, after a third was
# deleted and vacuumed away, and after as many were inserted into the places that became free. scann_evaluate_recall
# reports what is measured independently, and scann_check finds nothing.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use ScannTest;
use Test::More;

my $node = new_server('life');
my $dims = 50;
my $rows = 8_000;
my @data = ('--dbname' => $node->connstr('postgres'), '--dims' => $dims);
# All sets come from the same clusters, the later ones from rows that the index was not built on.
my @file = ('--data' => bench_generate(rows => $rows * 2 + 300, dims => $dims, clusters => 100));
my @held_out = ('--holdout' => 300, @file);

my %metrics = (
	'<#>' => { class => 'real_ip_ops', index => 'ip' },
	'<=>' => { class => 'real_cosine_ops', index => 'cosine' },
	'<->' => { class => 'real_l2_ops', index => 'l2' });

# Recall as the benchmark program measures it beside brute force, and as the index reports it.
sub test_indexes
{
	my ($when) = @_;
	foreach my $operator (sort keys %metrics)
	{
		my $index = $metrics{$operator}{index};
		my $measured = bench('query', @data, @held_out, '--table' => 'items', '--operator' => $operator,
			'--queries' => 300, '--warmup' => 0, '--sample' => 1);
		note("$when, $operator: recall $measured->{recall}");
		cmp_ok($measured->{recall}, '>=', 0.94, "$when, $operator: recall");
		like($measured->{plan}, qr/using $index\b/, "$when, $operator: by index");
		my %defects = map { $_ => $measured->{$_} } qw(disordered_answers repeated_rows short_answers);
		is_deeply(\%defects, { disordered_answers => 0, repeated_rows => 0, short_answers => 0 },
			"$when, $operator: complete and in order");
		my $reported = $node->safe_psql('postgres', "SELECT scann_evaluate_recall('$index', 10, 300)");
		note("$when, $operator: reported $reported");
		cmp_ok(abs($reported - $measured->{recall}), '<=', 0.03, "$when, $operator: scann_evaluate_recall");
		check_index($node, $index, "$when, $operator: the index is sound");
	}
	return;
}

# Rows wait in a table of their own for their insertion. Those held out as queries are in none.
bench('load', @data, @held_out, '--table' => 'all_items');
$node->safe_psql('postgres', "CREATE TABLE items AS SELECT * FROM all_items ORDER BY id LIMIT $rows");
$node->safe_psql('postgres', "CREATE INDEX $metrics{$_}{index} ON items USING scann (v $metrics{$_}{class})")
  foreach sort keys %metrics;
$node->safe_psql('postgres', 'ANALYZE items');
test_indexes('after the build');

my $half = $rows / 2;
$node->safe_psql('postgres', "INSERT INTO items SELECT * FROM all_items ORDER BY id LIMIT $half OFFSET $rows");
$node->safe_psql('postgres', 'ANALYZE items');
test_indexes('after inserts');

$node->safe_psql('postgres', 'DELETE FROM items WHERE id % 3 = 0');
# The index still holds rows that no query may see.
test_indexes('after deletes');
$node->safe_psql('postgres', 'VACUUM ANALYZE items');
is($node->safe_psql('postgres', "SELECT rows = (SELECT count(*) FROM items) FROM scann_index_info('$metrics{$_}{index}')"),
	't', "VACUUM removed the dead entries ($_)")
  foreach sort keys %metrics;
test_indexes('after VACUUM');

my $size = $node->safe_psql('postgres', q{SELECT pg_relation_size('l2')});
my $inserted = $rows + $half;
$node->safe_psql('postgres',
	"INSERT INTO items SELECT * FROM all_items ORDER BY id OFFSET $inserted LIMIT ($inserted / 3)");
$node->safe_psql('postgres', 'ANALYZE items');
test_indexes('after reinserts');
cmp_ok($node->safe_psql('postgres', q{SELECT pg_relation_size('l2')}),
	'<=', $size * 1.1, 'inserts take the places of removed entries');

log_is_clean($node);
done_testing();
