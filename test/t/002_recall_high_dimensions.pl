# What 001 tests, at 768 and 1536 dimensions: rows in TOAST, several dimensions a code.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use RecallTest;
use ScannTest;
use Test::More;

my $node = new_server('recall');
test_recall($node, dims => 768, rows => 3_000);
test_recall($node, dims => 1536, rows => 2_000);

done_testing();
