// Runs a test body once on every instruction set that was compiled and that this processor has.
#pragma once

#include <gtest/gtest.h>

#include "core/kernels.hpp"
#include "core/simd_targets.hpp"
#include "hwy/highway.h"

namespace scann {

template <class Body>
void on_every_target(const Body& body) {
  hwy::SetSupportedTargetsForTest(0);
  const std::int64_t available = hwy::SupportedTargets() & HWY_TARGETS;
  for (std::int64_t left = available; left != 0; left &= left - 1) {
    hwy::SetSupportedTargetsForTest(left & -left);
    SCOPED_TRACE(kernel_target());
    EXPECT_STREQ(kernel_target(), hwy::TargetName(left & -left));
    body();
  }
  hwy::SetSupportedTargetsForTest(0);
}

}  // namespace scann
