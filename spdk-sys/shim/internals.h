/* The one place that knows whether SPDK's internal header is there. */
#ifndef SPDK_SYS_INTERNALS_H
#define SPDK_SYS_INTERNALS_H

#include "spdk/stdinc.h"

#include "spdk/env.h"
#include "spdk/nvme.h"
#include "spdk/nvmf_spec.h"
#include "spdk/version.h"

#ifdef SHIM_INTERNALS
#include "nvme_internal.h"
#endif

#include "shim.h"

/* tcp.c */
void shim_tcp_high_cids_first(struct spdk_nvme_qpair *qpair);

#endif
