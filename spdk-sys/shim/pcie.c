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

struct spdk_nvme_ctrlr *
shim_pcie_construct(const struct spdk_nvme_transport_id *trid, struct spdk_nvme_ctrlr_opts *opts)
{
	struct attaching attaching = { .trid = trid, .opts = opts };
	struct spdk_pci_addr address;
	uint16_t depth = opts->admin_queue_size;

	opts->admin_queue_size = shim_pcie_entries_for(depth);
	if (spdk_pci_addr_parse(&address, trid->traddr) != 0 ||
	    spdk_pci_device_attach(spdk_pci_nvme_get_driver(), construct, &attaching, &address) != 0) {
		return NULL;
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
shim_pcie_stop_dma(struct spdk_nvme_ctrlr *ctrlr)
{
	struct spdk_pci_device *device = nvme_pcie_ctrlr(ctrlr)->devhandle;
	uint16_t command = 0;

	if (spdk_pci_device_cfg_read16(device, &command, COMMAND) == 0 && command != (uint16_t)NOBODY) {
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
	/* As long as it is ready it may write to memory that is given back soon. */
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
