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
#include "versions.h"

/* tcp.c: has a transport receive with functions that do not believe everything. */
void shim_tcp_guard(struct spdk_nvme_transport_ops *ops);
void shim_tcp_high_cids_first(struct spdk_nvme_qpair *qpair);

/* pcie.c */

/* How many entries SPDK has to be told for a queue of `depth` that takes depth - 1 commands: it keeps a part
 * of them free. */
uint16_t shim_pcie_entries_for(uint16_t depth);

/* The number of entries the device is told; not after the queue was created. */
void shim_pcie_set_depth(struct spdk_nvme_qpair *qpair, uint16_t depth);

/* Has the memory of a queue pair begin at a multiple of `alignment`, a power of two; before the device is told where
 * it is, and before shim_pcie_set_depth(). SPDK aligns to 4 KiB, whatever CC.MPS says. 0 or a negative errno. */
int shim_pcie_align_queues(struct spdk_nvme_qpair *qpair, uint32_t alignment);

/* Completes what is outstanding with 00/08 and frees the memory of an I/O queue pair. */
void shim_pcie_free_qpair(struct spdk_nvme_qpair *qpair);

/* Sends Delete I/O Completion Queue and waits for its completion. */
void shim_pcie_delete_cq(struct spdk_nvme_qpair *qpair);

/* Takes the function and maps its registers; NULL if that fails. Changes opts. */
struct spdk_nvme_ctrlr *shim_pcie_construct(const struct spdk_nvme_transport_id *trid,
		struct spdk_nvme_ctrlr_opts *opts);

/* Clears CC.EN and waits for CSTS.RDY to follow. */
void shim_pcie_disable(struct spdk_nvme_ctrlr *ctrlr, uint32_t milliseconds);

/* A device whose registers are out of reach may still write to memory that is given back soon, until it is told
 * otherwise in configuration space. Its next initialisation undoes that. */
void shim_pcie_stop_dma(struct spdk_nvme_ctrlr *ctrlr);

/* sharing.c */

/* Puts a controller on the list that other processes see, and takes it off. */
void shim_share(struct spdk_nvme_ctrlr *ctrlr);
void shim_unshare(struct spdk_nvme_ctrlr *ctrlr);

/* Before a function is attached to: maps it, in this process alone. Where nothing is shared, attaching does. */
void shim_plug(const struct spdk_pci_addr *address);

/* Around the destruction of a controller: gives back its function, in this process alone. NULL where nothing is
 * shared, and SPDK does it. */
struct spdk_pci_device *shim_begin_detach(struct spdk_nvme_ctrlr *ctrlr);
void shim_end_detach(struct spdk_pci_device *device);

/* In a process that is not the owner: begins to use a controller of the owner's, and ends that. Its queue pairs
 * are freed before. */
struct spdk_nvme_ctrlr *shim_join(const struct spdk_nvme_transport_id *trid);
void shim_leave(struct spdk_nvme_ctrlr *ctrlr);

/* hook.c: what the next Create I/O Completion Queue command of this thread says about interrupts: IEN and IV,
 * as in its dword 11. */
void shim_hook_next_interrupt(uint32_t cdw11);

/* hook.c: whether a controller has answered to this thread's Delete I/O Submission Queue, since it was told to forget,
 * that there is no such queue. */
void shim_hook_forget_answers(void);
bool shim_hook_no_such_queue(void);

/* hook.c: whether the bound that is set ended a wait. */
bool shim_deadline_has_ended(void);

#endif
