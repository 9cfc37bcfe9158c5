// The instruction sets kernels are compiled for. Include before "hwy/foreach_target.h".
#pragma once

// Kernels keep vectors in arrays, which the sizeless vectors of SVE and RISC-V do not allow; SVE machines use
// NEON.
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)

// AVX-512 with what Ice Lake and Zen 4 added to it; not compiled by default by older versions of Highway.
#define HWY_WANT_AVX3_DL 1
