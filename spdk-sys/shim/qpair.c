/* I/O queue pairs that fail without a trace.
 *
 * spdk_nvme_ctrlr_alloc_io_qpair() leaves a freed queue pair in its controller's list when connecting
 * fails; so it is created, connected and, on failure, freed in separate steps.
 */
#include "internals.h"

/* SPDK takes the request of the next command before it gives back that of the completed one. */
#define SPARE_REQUESTS 8

int
shim_qpair_create(struct spdk_nvme_ctrlr *ctrlr, uint16_t depth, uint8_t priority,
		  struct spdk_nvme_qpair **qpair, uint16_t *qid)
{
	struct spdk_nvme_io_qpair_opts opts;
	struct spdk_nvme_qpair *created;
	int rc;

	spdk_nvme_ctrlr_get_default_io_qpair_opts(ctrlr, &opts, sizeof(opts));
	opts.io_queue_size = depth;
	opts.io_queue_requests = depth + SPARE_REQUESTS;
	opts.qprio = priority;
	opts.create_only = true;

	created = spdk_nvme_ctrlr_alloc_io_qpair(ctrlr, &opts, sizeof(opts));
	if (created == NULL) {
		return -EAGAIN;
	}

#ifdef SHIM_INTERNALS
	/* Not spdk_nvme_ctrlr_connect_io_qpair(): it holds the controller's lock while a dead target stalls
	 * it. Over fabrics nothing of the controller changes here; on PCIe the queues are created through
	 * the admin queue, which does need the lock. */
	if (ctrlr->trid.trtype == SPDK_NVME_TRANSPORT_PCIE) {
		rc = spdk_nvme_ctrlr_connect_io_qpair(ctrlr, created);
	} else {
		rc = nvme_transport_ctrlr_connect_qpair(ctrlr, created);
	}
	*qid = created->id;
#else
	rc = spdk_nvme_ctrlr_connect_io_qpair(ctrlr, created);
	*qid = 0;
#endif
	if (rc != 0) {
		spdk_nvme_ctrlr_free_io_qpair(created);
		return rc < 0 ? rc : -EIO;
	}
	*qpair = created;
	return 0;
}

int
shim_qpair_free(struct spdk_nvme_qpair *qpair)
{
	return spdk_nvme_ctrlr_free_io_qpair(qpair);
}
