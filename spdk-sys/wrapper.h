/* What bindgen reads: SPDK's public API (build/bindings.rs names the part that is bound) and our shims. */
#include "spdk/stdinc.h"
#include "spdk/env.h"
#include "spdk/nvme.h"
#include "spdk/version.h"

#include "shim/shim.h"
