/* I/O queue pairs that fail without a trace.
 *
 * spdk_nvme_ctrlr_alloc_io_qpair() leaves a freed queue pair in its controller's list when connecting
 * fails; so it is allocated, connected and, on failure, freed in separate steps.
 */
#include "internals.h"

/* SPDK takes the request of the next command before it gives back that of the completed one. */
#define SPARE_REQUESTS 8

int
shim_qpair_alloc(struct spdk_nvme_ctrlr *ctrlr, uint16_t depth, uint8_t priority,
		 struct spdk_nvme_qpair **qpair, uint16_t *qid)
{
	struct spdk_nvme_io_qpair_opts opts;
	struct spdk_nvme_qpair *allocated;

	spdk_nvme_ctrlr_get_default_io_qpair_opts(ctrlr, &opts, sizeof(opts));
	opts.io_queue_size = depth;
	opts.io_queue_requests = depth + SPARE_REQUESTS;
	opts.qprio = priority;
	opts.create_only = true;
#ifdef SHIM_INTERNALS
	bool pcie = ctrlr->trid.trtype == SPDK_NVME_TRANSPORT_PCIE;

	if (pcie) {
		opts.io_queue_size = shim_pcie_entries_for(depth);
	}
#endif

	allocated = spdk_nvme_ctrlr_alloc_io_qpair(ctrlr, &opts, sizeof(opts));
	if (allocated == NULL) {
		return -EAGAIN;
	}
	*qpair = allocated;
#ifdef SHIM_INTERNALS
	if (pcie) {
		int rc = shim_pcie_align_queues(allocated, ctrlr->page_size);

		if (rc != 0) {
			shim_qpair_free(allocated, false);
			return rc;
		}
		shim_pcie_set_depth(allocated, depth);
	}
	*qid = allocated->id;
#else
	*qid = 0;
#endif
	return 0;
}

int
shim_qpair_connect(struct spdk_nvme_ctrlr *ctrlr, struct spdk_nvme_qpair *qpair, uint32_t interrupt)
{
	int rc;

#ifdef SHIM_INTERNALS
	/* Not spdk_nvme_ctrlr_connect_io_qpair(): it holds the controller's lock while a dead target stalls
	 * it. Over fabrics nothing of the controller changes here. */
	if (ctrlr->trid.trtype != SPDK_NVME_TRANSPORT_PCIE) {
		return nvme_transport_ctrlr_connect_qpair(ctrlr, qpair);
	}
#endif
	shim_hook_next_interrupt(interrupt);
	rc = spdk_nvme_ctrlr_connect_io_qpair(ctrlr, qpair);
	shim_hook_next_interrupt(0);
	return rc;
}

int
shim_qpair_free(struct spdk_nvme_qpair *qpair, bool created)
{
#ifdef SHIM_INTERNALS
	struct spdk_nvme_ctrlr *ctrlr = qpair->ctrlr;
	bool removed = ctrlr->is_removed, done;
	int rc;

	/* "Removed" keeps SPDK from asking a device that is gone to delete its queues, and from waiting for that. */
	if (!removed && shim_ctrlr_is_gone(ctrlr)) {
		shim_pcie_stop_dma(ctrlr);
		ctrlr->is_removed = true;
	}
	rc = spdk_nvme_ctrlr_free_io_qpair(qpair);
	/* The device refused to delete it, or is gone: either way it does not use it. SPDK has taken the queue pair
	 * off its lists by then, and keeps only its memory. */
	done = rc == 0 || ctrlr->is_failed || !shim_deadline_has_ended();
	if (rc != 0 && done) {
		if (created && !ctrlr->is_failed) {
			/* SPDK stops at a Submission Queue that cannot be deleted, perhaps because it was deleted already. */
			shim_pcie_delete_cq(qpair);
		}
		shim_pcie_free_qpair(qpair);
	}
	ctrlr->is_removed = removed;
	return done ? 0 : -ETIMEDOUT;
#else
	return spdk_nvme_ctrlr_free_io_qpair(qpair);
#endif
}
