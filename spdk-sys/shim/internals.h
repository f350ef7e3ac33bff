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

/* pcie.c */

/* How many entries SPDK has to be told for a queue of `depth` that takes depth - 1 commands: it keeps a part
 * of them free. */
uint16_t shim_pcie_entries_for(uint16_t depth);

/* The number of entries the device is told; not after the queue was created. */
void shim_pcie_set_depth(struct spdk_nvme_qpair *qpair, uint16_t depth);

/* Takes the function and maps its registers; NULL if that fails. Changes opts. */
struct spdk_nvme_ctrlr *shim_pcie_construct(const struct spdk_nvme_transport_id *trid,
		struct spdk_nvme_ctrlr_opts *opts);

/* Clears CC.EN and waits for CSTS.RDY to follow. */
void shim_pcie_disable(struct spdk_nvme_ctrlr *ctrlr, uint32_t milliseconds);

/* A device whose registers are out of reach may still write to memory that is given back soon, until it is told
 * otherwise in configuration space. Its next initialisation undoes that. */
void shim_pcie_stop_dma(struct spdk_nvme_ctrlr *ctrlr);

/* hook.c: what the next Create I/O Completion Queue command of this thread says about interrupts: IEN and IV,
 * as in its dword 11. */
void shim_hook_next_interrupt(uint32_t cdw11);

/* hook.c: whether the bound that is set ended a wait. */
bool shim_deadline_has_ended(void);

#endif
