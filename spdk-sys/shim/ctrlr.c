/* Controllers opened one step at a time.
 *
 * spdk_nvme_connect() hands out the same controller for the same address again, holds a lock of the
 * whole driver while a silent target stalls it, and posts asynchronous event requests of its own, which
 * a test driver must leave to the test. Stepping SPDK's own initialisation as far as the number of
 * queues avoids all three: what follows is about namespaces and events, which are not SPDK's concern here.
 */
#include "internals.h"

static int
fill_opts(struct spdk_nvme_ctrlr_opts *opts, const struct shim_ctrlr_opts *from)
{
	spdk_nvme_ctrlr_get_default_ctrlr_opts(opts, sizeof(*opts));
	opts->no_shn_notification = true;
	/* A retry would be a command that nobody asked for. */
	opts->transport_retry_count = 0;
	opts->keep_alive_timeout_ms = from->keep_alive_ms;
	opts->admin_queue_size = from->admin_queue_size;
	if (from->io_queues != 0) {
		opts->num_io_queues = from->io_queues;
	}
	opts->header_digest = from->header_digest;
	opts->data_digest = from->data_digest;
	if (from->hostnqn != NULL) {
		snprintf(opts->hostnqn, sizeof(opts->hostnqn), "%s", from->hostnqn);
	}
	if (from->hostid != NULL) {
		memcpy(opts->extended_host_id, from->hostid, sizeof(opts->extended_host_id));
	}
	return shim_keys_add(opts, from);
}

static void
fill_trid(struct spdk_nvme_transport_id *trid, const struct shim_ctrlr_opts *from)
{
	memset(trid, 0, sizeof(*trid));
	spdk_nvme_trid_populate_transport(trid, from->transport == SHIM_TRANSPORT_TCP ?
					  SPDK_NVME_TRANSPORT_TCP : SPDK_NVME_TRANSPORT_PCIE);
	snprintf(trid->traddr, sizeof(trid->traddr), "%s", from->traddr);
	if (from->transport == SHIM_TRANSPORT_TCP) {
		trid->adrfam = from->ipv6 ? SPDK_NVMF_ADRFAM_IPV6 : SPDK_NVMF_ADRFAM_IPV4;
		trid->priority = from->priority;
		snprintf(trid->trsvcid, sizeof(trid->trsvcid), "%s", from->trsvcid);
		snprintf(trid->subnqn, sizeof(trid->subnqn), "%s", from->subnqn);
	}
}

#ifdef SHIM_INTERNALS

/* CC as NVMe-oF wants it for a controller without I/O queues: enabled, entry sizes 64 and 16. */
static int
enable_discovery(struct spdk_nvme_ctrlr *ctrlr)
{
	union spdk_nvme_cc_register cc = {};

	cc.bits.en = 1;
	cc.bits.iosqes = 6;
	cc.bits.iocqes = 4;
	return nvme_transport_ctrlr_set_reg_4(ctrlr, offsetof(struct spdk_nvme_registers, cc.raw), cc.raw);
}

/* Steps SPDK's initialisation up to and including the number of queues. While it waits for a command it
 * is not called: it would see the completion while reading registers, and go on to the next step at once. */
static int
initialise(struct spdk_nvme_ctrlr *ctrlr)
{
	int rc = 0;

	while (rc >= 0 && !ctrlr->is_failed) {
		switch (ctrlr->state) {
		case NVME_CTRLR_STATE_CONSTRUCT_NS:
			return 0;
		case NVME_CTRLR_STATE_WAIT_FOR_IDENTIFY:
		case NVME_CTRLR_STATE_WAIT_FOR_SET_NUM_QUEUES:
			rc = spdk_nvme_qpair_process_completions(ctrlr->adminq, 0);
			break;
		default:
			rc = nvme_ctrlr_process_init(ctrlr);
			break;
		}
	}
	return rc < 0 ? rc : -ENXIO;
}

int
shim_ctrlr_open(const struct shim_ctrlr_opts *opts, struct spdk_nvme_ctrlr **ctrlr,
		enum shim_step *failed_at)
{
	struct spdk_nvme_ctrlr_opts ctrlr_opts;
	struct spdk_nvme_transport_id trid;
	struct spdk_nvme_ctrlr *opened;
	int rc;

	*failed_at = SHIM_STEP_CONSTRUCT;
	rc = fill_opts(&ctrlr_opts, opts);
	if (rc != 0) {
		return rc;
	}
	fill_trid(&trid, opts);
	if (opts->transport == SHIM_TRANSPORT_PCIE) {
		opened = spdk_process_is_primary() ? shim_pcie_construct(&trid, &ctrlr_opts) : shim_join(&trid);
	} else {
		opened = nvme_transport_ctrlr_construct(&trid, &ctrlr_opts, NULL);
	}
	if (opened == NULL) {
		return -EIO;
	}
	if (opts->transport == SHIM_TRANSPORT_PCIE) {
		/* The rest is up to the caller, or done already by the owner. */
		if (spdk_process_is_primary()) {
			STAILQ_INIT(&opened->io_producers);
			opened->state = NVME_CTRLR_STATE_READY;
			shim_share(opened);
		}
		nvme_ctrlr_proc_get_ref(opened);
		*failed_at = SHIM_STEP_NONE;
		*ctrlr = opened;
		return 0;
	}
	nvme_qpair_set_state(opened->adminq, NVME_QPAIR_ENABLED);
	STAILQ_INIT(&opened->io_producers);

	*failed_at = SHIM_STEP_INIT;
	rc = opts->discovery ? enable_discovery(opened) : initialise(opened);
	if (rc != 0) {
		shim_ctrlr_close(opened, true);
		return rc;
	}
	opened->state = NVME_CTRLR_STATE_READY;
	shim_tcp_high_cids_first(opened->adminq);
	nvme_ctrlr_proc_get_ref(opened);
	*failed_at = SHIM_STEP_NONE;
	*ctrlr = opened;
	return 0;
}

#define DISABLE_MILLISECONDS 1000

void
shim_ctrlr_close(struct spdk_nvme_ctrlr *ctrlr, bool gone)
{
	bool pcie = ctrlr->trid.trtype == SPDK_NVME_TRANSPORT_PCIE;
	struct spdk_pci_device *device = NULL;
	struct spdk_nvme_ctrlr_process *process;

	if (pcie && !spdk_process_is_primary()) {
		shim_leave(ctrlr);
		return;
	}
	if (pcie) {
		shim_unshare(ctrlr);
		device = shim_begin_detach(ctrlr);
	}
	if (pcie && !gone) {
		/* Once it is disabled, it has no queues any more that SPDK could ask it to delete. */
		shim_pcie_disable(ctrlr, DISABLE_MILLISECONDS);
	}
	if (pcie) {
		/* It may take longer than that, or be on its way already. Whatever it still does, it does not write to
		 * memory that is given back. Whoever opens it again switches this on again. */
		shim_pcie_stop_dma(ctrlr);
	}
	if (pcie || gone || ctrlr->is_failed) {
		/* "Removed" keeps SPDK from asking the device to delete queues and to disable itself. */
		nvme_ctrlr_fail(ctrlr, true);
	}
	/* What SPDK keeps of this process it frees on PCIe only. */
	process = pcie ? NULL : TAILQ_FIRST(&ctrlr->active_procs);
	nvme_ctrlr_destruct(ctrlr);
	spdk_free(process);
	shim_end_detach(device);
}

bool
shim_ctrlr_is_failed(struct spdk_nvme_ctrlr *ctrlr)
{
	return ctrlr->is_failed;
}

uint16_t
shim_ctrlr_id(struct spdk_nvme_ctrlr *ctrlr)
{
	return ctrlr->cntlid;
}

uint32_t
shim_ctrlr_max_io_queues(struct spdk_nvme_ctrlr *ctrlr)
{
	return ctrlr->opts.num_io_queues;
}

/* Over fabrics the target knows; on PCIe, what is behind the end of BAR0 is not ours. */
static bool
is_inside(struct spdk_nvme_ctrlr *ctrlr, uint32_t offset, uint32_t bytes)
{
	uint64_t size = shim_ctrlr_bar_size(ctrlr);

	return size == 0 || (uint64_t)offset + bytes <= size;
}

int
shim_ctrlr_get_reg_4(struct spdk_nvme_ctrlr *ctrlr, uint32_t offset, uint32_t *value)
{
	return is_inside(ctrlr, offset, 4) ? nvme_transport_ctrlr_get_reg_4(ctrlr, offset, value) : -ERANGE;
}

int
shim_ctrlr_get_reg_8(struct spdk_nvme_ctrlr *ctrlr, uint32_t offset, uint64_t *value)
{
	return is_inside(ctrlr, offset, 8) ? nvme_transport_ctrlr_get_reg_8(ctrlr, offset, value) : -ERANGE;
}

int
shim_ctrlr_set_reg_4(struct spdk_nvme_ctrlr *ctrlr, uint32_t offset, uint32_t value)
{
	union spdk_nvme_cc_register cc = { .raw = value };
	int rc = is_inside(ctrlr, offset, 4) ? nvme_transport_ctrlr_set_reg_4(ctrlr, offset, value) : -ERANGE;

	/* SPDK cuts data into pages of the size that the controller was enabled with. */
	if (rc == 0 && offset == offsetof(struct spdk_nvme_registers, cc.raw) && cc.bits.en) {
		ctrlr->page_size = 1u << (12 + cc.bits.mps);
	}
	return rc;
}

struct spdk_nvme_qpair *
shim_ctrlr_admin_qpair(struct spdk_nvme_ctrlr *ctrlr)
{
	return ctrlr->adminq;
}

void
shim_ctrlr_abort_admin(struct spdk_nvme_ctrlr *ctrlr)
{
	nvme_ctrlr_disconnect_qpair(ctrlr->adminq);
}

#else /* a system SPDK: public functions only */

int
shim_ctrlr_open(const struct shim_ctrlr_opts *opts, struct spdk_nvme_ctrlr **ctrlr,
		enum shim_step *failed_at)
{
	struct spdk_nvme_ctrlr_opts ctrlr_opts;
	struct spdk_nvme_transport_id trid;
	int rc;

	*failed_at = SHIM_STEP_CONSTRUCT;
	if (opts->transport != SHIM_TRANSPORT_TCP) {
		return -ENOTSUP;
	}
	rc = fill_opts(&ctrlr_opts, opts);
	if (rc != 0) {
		return rc;
	}
	fill_trid(&trid, opts);
	shim_bound_opening(&ctrlr_opts, opts->timeout_ms);
	*ctrlr = spdk_nvme_connect(&trid, &ctrlr_opts, sizeof(ctrlr_opts));
	if (*ctrlr == NULL) {
		shim_keys_remove(shim_keys_of(&ctrlr_opts));
		return -EIO;
	}
	shim_keys_settle(*ctrlr, &ctrlr_opts);
	*failed_at = SHIM_STEP_NONE;
	return 0;
}

void
shim_ctrlr_close(struct spdk_nvme_ctrlr *ctrlr, bool gone)
{
	struct shim_keys keys = shim_keys_of_ctrlr(ctrlr);

	if (gone) {
		spdk_nvme_ctrlr_fail(ctrlr);
	}
	spdk_nvme_detach(ctrlr);
	shim_keys_remove(keys);
}

bool
shim_ctrlr_is_failed(struct spdk_nvme_ctrlr *ctrlr)
{
	return spdk_nvme_ctrlr_is_failed(ctrlr);
}

uint16_t
shim_ctrlr_id(struct spdk_nvme_ctrlr *ctrlr)
{
	return spdk_nvme_ctrlr_get_data(ctrlr)->cntlid;
}

uint32_t
shim_ctrlr_max_io_queues(struct spdk_nvme_ctrlr *ctrlr)
{
	return UINT16_MAX;
}

int
shim_ctrlr_get_reg_4(struct spdk_nvme_ctrlr *ctrlr, uint32_t offset, uint32_t *value)
{
	switch (offset) {
	case offsetof(struct spdk_nvme_registers, vs):
		*value = spdk_nvme_ctrlr_get_regs_vs(ctrlr).raw;
		return 0;
	case offsetof(struct spdk_nvme_registers, csts):
		*value = spdk_nvme_ctrlr_get_regs_csts(ctrlr).raw;
		return 0;
	case offsetof(struct spdk_nvme_registers, cc):
		return shim_read_cc(ctrlr, value);
	default:
		return -ENOTSUP;
	}
}

int
shim_ctrlr_get_reg_8(struct spdk_nvme_ctrlr *ctrlr, uint32_t offset, uint64_t *value)
{
	if (offset != offsetof(struct spdk_nvme_registers, cap)) {
		return -ENOTSUP;
	}
	*value = spdk_nvme_ctrlr_get_regs_cap(ctrlr).raw;
	return 0;
}

int
shim_ctrlr_set_reg_4(struct spdk_nvme_ctrlr *ctrlr, uint32_t offset, uint32_t value)
{
	return -ENOTSUP;
}

struct spdk_nvme_qpair *
shim_ctrlr_admin_qpair(struct spdk_nvme_ctrlr *ctrlr)
{
	return NULL;
}

void
shim_ctrlr_abort_admin(struct spdk_nvme_ctrlr *ctrlr)
{
}

#endif
