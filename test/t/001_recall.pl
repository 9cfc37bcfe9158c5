# Recall, order and completeness of a default index with default settings, for each metric at 3, 17 and 100 dimensions
# (the higher ones are in 002), and of one whose rows have two entries, measured by scann_bench against brute force:
# recall@10 >= 0.94 where 0.95 is asked for and, at scann.target_recall = 1, the exact answer. k = 1, 10 and 100.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use RecallTest;
use ScannTest;
use Test::More;

my $node = new_server('recall');
test_recall($node, dims => 3, rows => 10_000);
test_recall($node, dims => 17, rows => 20_000);
test_recall($node, dims => 100, rows => 10_000);
test_recall($node, dims => 50, rows => 10_000, options => 'WITH (soar = on)');

done_testing();
