/* PCIe controllers that the caller initialises, register by register.
 *
 * SPDK's own initialisation of a controller leaves nothing to the caller. What it consists of is reachable
 * one by one: constructing the controller, which maps its registers and makes the memory of the admin queue,
 * and writing where that memory is. The structures of the transport are known to its source file only, which
 * is therefore included, as in tcp.c: the compiler says where their fields are, and the linker drops the rest.
 */
#include "internals.h"

#ifdef SHIM_INTERNALS

#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wunused-variable"
#undef SPDK_NVME_TRANSPORT_REGISTER
#define SPDK_NVME_TRANSPORT_REGISTER(name, ops) struct shim_registers_no_transport
#undef SPDK_PCI_DRIVER_REGISTER
#define SPDK_PCI_DRIVER_REGISTER(name, ids, flags) struct shim_registers_no_driver
#define pcie_ops shim_pcie_ops_unused
#define g_thread_mmio_ctrlr shim_pcie_mmio_unused
#include "nvme_pcie.c"

/* Until the controller says how many it grants. */
#define MOST_IO_QUEUES 1024

/* What is larger than a hugepage cannot be aligned on the bus. */
#define MOST_ALIGNMENT (2u << 20)

/* PRP1 and the list of a tracker: what nvme-spdk checks before SPDK does, which frees a request twice if it is more. */
SPDK_STATIC_ASSERT(1 + NVME_MAX_PRP_LIST_ENTRIES == SHIM_PCIE_MOST_PAGES, "nvme_pcie.c has another limit");

/* Where nobody answers, registers read as all ones. */
#define NOBODY 0xffffffffu

/* PCI Express Base Specification, "Command Register". */
#define COMMAND 4
#define BUS_MASTER 4u

static bool
is_pcie(struct spdk_nvme_ctrlr *ctrlr)
{
	return ctrlr->trid.trtype == SPDK_NVME_TRANSPORT_PCIE;
}

static uint32_t
csts(struct spdk_nvme_ctrlr *ctrlr)
{
	uint32_t value = NOBODY;

	if (nvme_transport_ctrlr_get_reg_4(ctrlr, offsetof(struct spdk_nvme_registers, csts.raw), &value) != 0) {
		return NOBODY;
	}
	return value;
}

struct attaching {
	const struct spdk_nvme_transport_id *trid;
	const struct spdk_nvme_ctrlr_opts *opts;
	struct spdk_nvme_ctrlr *ctrlr;
};

static int
construct(void *context, struct spdk_pci_device *device)
{
	struct attaching *attaching = context;

	attaching->ctrlr = nvme_transport_ctrlr_construct(attaching->trid, attaching->opts, device);
	return attaching->ctrlr == NULL ? -1 : 0;
}

uint16_t
shim_pcie_entries_for(uint16_t depth)
{
	uint32_t entries = depth, spare;

	for (;; entries++) {
		spare = spdk_min(spdk_max(entries / 4, NVME_MIN_COMPLETIONS), NVME_MAX_COMPLETIONS);
		if (entries - spare >= depth - 1u) {
			return entries;
		}
	}
}

void
shim_pcie_set_depth(struct spdk_nvme_qpair *qpair, uint16_t depth)
{
	nvme_pcie_qpair(qpair)->num_entries = depth;
}

/* Replaces a queue's memory by one that is aligned as said, if it is not by chance. */
static int
align(struct spdk_nvme_qpair *qpair, size_t bytes, uint32_t alignment, void **memory, uint64_t *bus_addr)
{
	uint32_t flags = SPDK_MALLOC_DMA | (nvme_qpair_is_admin_queue(qpair) ? SPDK_MALLOC_SHARE : 0);
	uint64_t aligned_bus_addr;
	void *aligned;

	if ((*bus_addr & (alignment - 1)) == 0) {
		return 0;
	}
	/* As SPDK does it: aligned to its own size it lies in one hugepage, and is contiguous on the bus. */
	aligned = spdk_zmalloc(bytes, spdk_max(alignment, spdk_align32pow2(bytes)), NULL, SPDK_ENV_SOCKET_ID_ANY, flags);
	aligned_bus_addr = aligned == NULL ? SPDK_VTOPHYS_ERROR : spdk_vtophys(aligned, NULL);
	if ((aligned_bus_addr & (alignment - 1)) != 0) {
		SPDK_ERRLOG("no memory for a queue that is aligned to %u bytes\n", alignment);
		spdk_free(aligned);
		return -ENOMEM;
	}
	spdk_free(*memory);
	*memory = aligned;
	*bus_addr = aligned_bus_addr;
	return 0;
}

int
shim_pcie_align_queues(struct spdk_nvme_qpair *qpair, uint32_t alignment)
{
	struct nvme_pcie_qpair *pqpair = nvme_pcie_qpair(qpair);
	void *cmd = pqpair->cmd, *cpl = pqpair->cpl;
	int rc;

	rc = align(qpair, pqpair->num_entries * sizeof(*pqpair->cmd), alignment, &cmd, &pqpair->cmd_bus_addr);
	pqpair->cmd = cmd;
	if (rc == 0) {
		rc = align(qpair, pqpair->num_entries * sizeof(*pqpair->cpl), alignment, &cpl, &pqpair->cpl_bus_addr);
		pqpair->cpl = cpl;
	}
	return rc;
}

struct spdk_nvme_ctrlr *
shim_pcie_construct(const struct spdk_nvme_transport_id *trid, struct spdk_nvme_ctrlr_opts *opts)
{
	struct attaching attaching = { .trid = trid, .opts = opts };
	struct spdk_pci_addr address;
	uint16_t depth = opts->admin_queue_size;

	opts->admin_queue_size = shim_pcie_entries_for(depth);
	if (spdk_pci_addr_parse(&address, trid->traddr) != 0) {
		return NULL;
	}
	shim_plug(&address);
	if (spdk_pci_device_attach(spdk_pci_nvme_get_driver(), construct, &attaching, &address) != 0) {
		return NULL;
	}
	/* Where it is, is said before anybody knows how large pages will be. */
	if (shim_pcie_align_queues(attaching.ctrlr->adminq, spdk_min(1ull << (12 + attaching.ctrlr->cap.bits.mpsmax),
				   MOST_ALIGNMENT)) != 0) {
		SPDK_WARNLOG("the admin queue is not aligned to the largest memory page\n");
	}
	shim_pcie_set_depth(attaching.ctrlr->adminq, depth);
	shim_ctrlr_set_io_queues(attaching.ctrlr, MOST_IO_QUEUES);
	return attaching.ctrlr;
}

uint64_t
shim_ctrlr_bar_size(struct spdk_nvme_ctrlr *ctrlr)
{
	return is_pcie(ctrlr) ? nvme_pcie_ctrlr(ctrlr)->regs_size : 0;
}

int
shim_ctrlr_enable_admin(struct spdk_nvme_ctrlr *ctrlr)
{
	int rc;

	/* What was outstanding belonged to a queue that begins anew. */
	nvme_transport_admin_qpair_abort_aers(ctrlr->adminq);
	nvme_qpair_abort_reqs(ctrlr->adminq, 1);
	rc = nvme_transport_ctrlr_enable(ctrlr);
	if (rc == 0) {
		rc = nvme_transport_qpair_reset(ctrlr->adminq);
	}
	if (rc == 0) {
		nvme_qpair_set_state(ctrlr->adminq, NVME_QPAIR_ENABLED);
	}
	return rc;
}

void
shim_ctrlr_set_io_queues(struct spdk_nvme_ctrlr *ctrlr, uint32_t count)
{
	struct spdk_nvme_qpair *qpair;
	uint32_t qid;

	spdk_bit_array_free(&ctrlr->free_io_qids);
	ctrlr->free_io_qids = spdk_bit_array_create(count + 1);
	for (qid = 1; ctrlr->free_io_qids != NULL && qid <= count; qid++) {
		spdk_bit_array_set(ctrlr->free_io_qids, qid);
	}
	TAILQ_FOREACH(qpair, &ctrlr->active_io_qpairs, tailq) {
		if (qpair->id <= count) {
			spdk_bit_array_clear(ctrlr->free_io_qids, qpair->id);
		}
	}
	ctrlr->opts.num_io_queues = count;
}

bool
shim_ctrlr_is_gone(struct spdk_nvme_ctrlr *ctrlr)
{
	uint32_t version = 0;

	if (!is_pcie(ctrlr)) {
		return false;
	}
	/* Every controller has a version, whatever state it is in. A register that is out of reach reads as all ones, or
	 * as zero behind some bridges. */
	return ctrlr->is_removed ||
	       nvme_transport_ctrlr_get_reg_4(ctrlr, offsetof(struct spdk_nvme_registers, vs.raw), &version) != 0 ||
	       version == 0 || version == NOBODY;
}

void
shim_pcie_free_qpair(struct spdk_nvme_qpair *qpair)
{
	if (qpair->no_deletion_notification_needed == 0) {
		nvme_pcie_qpair_abort_trackers(qpair, 1);
	}
	nvme_pcie_qpair_destroy(qpair);
}

void
shim_pcie_delete_cq(struct spdk_nvme_qpair *qpair)
{
	struct nvme_completion_poll_status *status = calloc(1, sizeof(*status));

	if (status == NULL ||
	    nvme_pcie_ctrlr_cmd_delete_io_cq(qpair->ctrlr, qpair, nvme_completion_poll_cb, status) != 0) {
		free(status);
		return;
	}
	nvme_wait_for_completion(qpair->ctrlr->adminq, status);
	/* If nothing came, the completion frees it. */
	if (!status->timed_out) {
		free(status);
	}
}

void
shim_pcie_stop_dma(struct spdk_nvme_ctrlr *ctrlr)
{
	/* This process's: the controller's own is the one of the process that opened it. */
	struct spdk_pci_device *device = nvme_ctrlr_proc_get_devhandle(ctrlr);
	uint16_t command = 0;

	if (device != NULL && spdk_pci_device_cfg_read16(device, &command, COMMAND) == 0 &&
	    command != (uint16_t)NOBODY) {
		spdk_pci_device_cfg_write16(device, command & ~BUS_MASTER, COMMAND);
	}
}

void
shim_pcie_disable(struct spdk_nvme_ctrlr *ctrlr, uint32_t milliseconds)
{
	union spdk_nvme_cc_register cc;
	uint32_t offset = offsetof(struct spdk_nvme_registers, cc.raw), status;

	if (nvme_transport_ctrlr_get_reg_4(ctrlr, offset, &cc.raw) != 0 || cc.raw == NOBODY || !cc.bits.en) {
		return;
	}
	cc.bits.en = 0;
	nvme_transport_ctrlr_set_reg_4(ctrlr, offset, cc.raw);
	/* As long as it is ready it may write to its queues, whose memory is given back soon. */
	for (; milliseconds > 0; milliseconds--) {
		status = csts(ctrlr);
		if (status == NOBODY || (status & 1) == 0) {
			return;
		}
		usleep(1000);
	}
}

#else

uint64_t
shim_ctrlr_bar_size(struct spdk_nvme_ctrlr *ctrlr)
{
	return 0;
}

int
shim_ctrlr_enable_admin(struct spdk_nvme_ctrlr *ctrlr)
{
	return -ENOTSUP;
}

void
shim_ctrlr_set_io_queues(struct spdk_nvme_ctrlr *ctrlr, uint32_t count)
{
}

bool
shim_ctrlr_is_gone(struct spdk_nvme_ctrlr *ctrlr)
{
	return false;
}

#endif
