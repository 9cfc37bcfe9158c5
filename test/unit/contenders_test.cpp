// The file that describes the indexes to compare: what is read, what is refused and with which line, what is
// filled in.
#include "../bench/contenders.hpp"

#include <gtest/gtest.h>

#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace bench {
namespace {

std::vector<Contender> read(const std::string& text) {
  std::istringstream in(text);
  return ReadContenders(in);
}

std::string error_of(const std::string& text) {
  try {
    read(text);
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "";
}

const std::string kOne =
    "[one]\nextension = x\ncolumn = vector({dims})\nindex = x (v {metric}_ops) WITH (lists = {lists})\n";

TEST(Contenders, AreReadInOrder) {
  const auto all = read(
      "# comment\n\n  [first one]\r\nextension=e\n column = real[] \nindex = a (v) WITH (m = 1)\n"
      "sweep = a.b: 1 2.5  on\n" +
      kOne + "sweep = c.d: 7");
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[0].name, "first one");
  EXPECT_EQ(all[0].extension, "e");
  EXPECT_EQ(all[0].column, "real[]");
  EXPECT_EQ(all[0].index, "a (v) WITH (m = 1)");
  EXPECT_EQ(all[0].setting, "a.b");
  EXPECT_EQ(all[0].values, (std::vector<std::string>{"1", "2.5", "on"}));
  EXPECT_EQ(all[1].name, "one");
  EXPECT_EQ(all[1].values, (std::vector<std::string>{"7"}));
}

TEST(Contenders, MistakesAreNamedWithTheirLine) {
  EXPECT_EQ(error_of("extension = x\n"), "contenders, line 1: comes before the first [name]");
  EXPECT_EQ(error_of("[a]\ncolour = x\n"), "contenders, line 2: unknown key: colour");
  EXPECT_EQ(error_of("[a]\n\nnothing\n"), "contenders, line 3: neither [name] nor key = value");
  EXPECT_EQ(error_of("[a]\nsweep = a.b 1 2\n"),
            "contenders, line 2: a sweep is given as setting: value value ...");
  EXPECT_EQ(error_of(kOne), "contender one: extension, column, index and sweep are needed");
  EXPECT_EQ(error_of(kOne + "sweep = a.b:\n"),
            "contender one: extension, column, index and sweep are needed");
}

TEST(Contenders, AdaptToTheData) {
  const Contender one = read(kOne + "sweep = c.d: 7").front();
  const Contender small = Adapt(one, 336479, 100, "cosine");
  EXPECT_EQ(small.column, "vector(100)");
  EXPECT_EQ(small.index, "x (v cosine_ops) WITH (lists = 336)");
  EXPECT_EQ(Adapt(one, 4000000, 3, "l2").index, "x (v l2_ops) WITH (lists = 2000)");
  EXPECT_EQ(Adapt(one, 10, 3, "l2").index, "x (v l2_ops) WITH (lists = 1)");
}

}  // namespace
}  // namespace bench
