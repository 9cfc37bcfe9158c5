# pg_dump with psql, pg_dump -Fc with pg_restore, and pg_upgrade bring back the extension, the indexes and their options,
# and the indexes answer as before.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use ScannTest;
use Test::More;

my $node = new_server('source');
create_vectors($node, 'items', rows => 2_000, dims => 16);
$node->safe_psql('postgres', <<'SQL');
CREATE INDEX items_l2 ON items USING scann (v real_l2_ops)
  WITH (num_leaves = 20, dimensions_per_block = 4, training_sample_size = 1500);
CREATE INDEX items_ip ON items USING scann (v) WITH (anisotropic_quantization_threshold = 0.3);
CREATE INDEX items_cosine ON items USING scann (v real_cosine_ops) WHERE id % 2 = 0;
CREATE INDEX items_expression ON items USING scann ((v[1:8]) real_l2_ops);
CREATE TABLE empty (v real[]);
CREATE INDEX empty_v ON empty USING scann (v);
SQL

# What users can tell of a database's indexes.
sub description
{
	my ($server, $database) = @_;
	return join "\n", map { $server->safe_psql($database, $_) } (
		q{SELECT indexdef FROM pg_indexes WHERE indexdef LIKE '%scann%' ORDER BY indexname},
		q{SELECT metric, dimensions, num_leaves, dimensions_per_block, anisotropic_quantization_threshold, rows
		  FROM pg_class, scann_index_info(oid) WHERE relam = (SELECT oid FROM pg_am WHERE amname = 'scann')
		  ORDER BY relname},
		q{SELECT extname, extversion FROM pg_extension WHERE extname = 'scann_am'});
}

sub test_copy
{
	my ($server, $database, $description, $answers, $name) = @_;
	is(description($server, $database), $description, "$name: extension, indexes and options are back");
	is(answers($server, 'items', database => $database, target_recall => 1), $answers, "$name: same answers");
	same_answers($server, 'items', "$name: inner product", operator => '<#>', database => $database);
	check_index($server, $_, "$name: $_ is sound", database => $database)
	  foreach qw(items_l2 items_ip items_cosine items_expression empty_v);
	return;
}

my $description = description($node, 'postgres');
like($description, qr/num_leaves='?20/, 'the options are in the definition');
my $answers = answers($node, 'items', target_recall => 1);

my $directory = PostgreSQL::Test::Utils::tempdir();
$node->command_ok([ 'pg_dump', '-f', "$directory/dump.sql", $node->connstr('postgres') ], 'pg_dump');
$node->safe_psql('postgres', 'CREATE DATABASE plain');
$node->command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-f', "$directory/dump.sql", $node->connstr('plain') ],
	'psql restores a plain dump');
test_copy($node, 'plain', $description, $answers, 'plain dump');

$node->command_ok([ 'pg_dump', '-Fc', '-f', "$directory/dump.custom", $node->connstr('postgres') ], 'pg_dump -Fc');
$node->safe_psql('postgres', 'CREATE DATABASE custom');
$node->command_ok(
	[ 'pg_restore', '--exit-on-error', '-j', '2', '-d', $node->connstr('custom'), "$directory/dump.custom" ],
	'pg_restore, two jobs');
test_copy($node, 'custom', $description, $answers, 'custom dump');

# ---- pg_upgrade, to a server of the same version: the index files are taken over as they are -------------------------

my $file_of = q{SELECT md5(pg_read_binary_file(pg_relation_filepath('items_l2'))::text)};
$node->safe_psql('postgres', 'DROP DATABASE plain');
$node->safe_psql('postgres', 'DROP DATABASE custom');
$node->safe_psql('postgres', 'CHECKPOINT');
my $file = $node->safe_psql('postgres', $file_of);
$node->stop;
my $upgraded = PostgreSQL::Test::Cluster->new('upgraded');
$upgraded->init(extra => [ '--locale=C', '--encoding=UTF8' ]);
my $bin = $node->config_data('--bindir');
my @upgrade = ('pg_upgrade', '--no-sync', '-d', $node->data_dir, '-D', $upgraded->data_dir, '-b', $bin, '-B', $bin,
	'-s', $node->host, '-p', $node->port, '-P', $upgraded->port);
# It writes into the current directory.
chdir $directory or die "$directory: $!";
command_ok(\@upgrade, 'pg_upgrade');
start_server($upgraded);
is($upgraded->safe_psql('postgres', $file_of), $file, 'pg_upgrade: the index was not rebuilt');
test_copy($upgraded, 'postgres', $description, $answers, 'pg_upgrade');

log_is_clean($upgraded);
done_testing();
