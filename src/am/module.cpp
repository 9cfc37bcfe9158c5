// The library's entry point.
#include "core/kernels.hpp"

#include "am/limit.hpp"
#include "am/options.hpp"

extern "C" {

PG_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void);

void _PG_init(void) {
  scann::initialize_kernels();
  scann::am::define_options();
  scann::am::install_limit_hook();
}

}  // extern "C"
