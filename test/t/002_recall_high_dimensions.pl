# What 001 tests, at 384, 768 and 1536 dimensions: rows in TOAST, several dimensions a code; and where vectors spread over
# few of their dimensions, so that some of the principal components are coded.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use RecallTest;
use ScannTest;
use Test::More;

my $node = new_server('recall');
test_recall($node, dims => 384, rows => 3_000);
test_recall($node, dims => 768, rows => 3_000);
test_recall($node, dims => 1536, rows => 2_000);
test_recall($node, dims => 200, data => write_skewed(4_000, 200), rotation => 'principal components');

done_testing();
