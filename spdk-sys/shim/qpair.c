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

#ifdef SHIM_INTERNALS
/* Whether nothing can be expected of a controller any more: a wait for it was ended, which SPDK takes for its failure. */
static bool
is_silent(struct spdk_nvme_ctrlr *ctrlr)
{
	return ctrlr->is_failed || shim_deadline_has_ended() ||
	       nvme_qpair_get_state(ctrlr->adminq) != NVME_QPAIR_ENABLED;
}

/* A queue pair that SPDK could not delete: it is off its lists, and only its memory is left. Whether the device is done
 * with that, and with the memory of its commands. */
static bool
free_undeleted(struct spdk_nvme_ctrlr *ctrlr, struct spdk_nvme_qpair *qpair, bool created)
{
	bool unknown = shim_hook_no_such_queue();

	if (!is_silent(ctrlr) && unknown && created) {
		/* SPDK stops at a Submission Queue that is deleted already. */
		shim_pcie_delete_cq(qpair);
	}
	if (is_silent(ctrlr)) {
		/* It has to be initialised anew in any case, which lets it access memory again. */
		shim_pcie_stop_dma(ctrlr);
	} else if (!unknown) {
		return false;
	}
	shim_pcie_free_qpair(qpair);
	return true;
}
#endif

int
shim_qpair_free(struct spdk_nvme_qpair *qpair, bool created)
{
#ifdef SHIM_INTERNALS
	struct spdk_nvme_ctrlr *ctrlr = qpair->ctrlr;
	bool removed = ctrlr->is_removed, done = true;

	/* "Removed" keeps SPDK from asking a device that is gone to delete its queues, and from waiting for that. */
	if (!removed && shim_ctrlr_is_gone(ctrlr)) {
		shim_pcie_stop_dma(ctrlr);
		ctrlr->is_removed = true;
	}
	shim_hook_forget_answers();
	if (spdk_nvme_ctrlr_free_io_qpair(qpair) != 0) {
		done = free_undeleted(ctrlr, qpair, created);
	}
	ctrlr->is_removed = removed;
	return done ? 0 : -EBUSY;
#else
	return spdk_nvme_ctrlr_free_io_qpair(qpair);
#endif
}
