/* Controllers that processes share.
 *
 * SPDK keeps PCIe controllers in memory that all processes of an environment map, with a list of them, and in
 * each a list of the processes that use it. Its own ways into these lists attach and detach whole devices in all
 * processes at once; here a process comes and goes alone.
 */
#include "internals.h"

#ifdef SHIM_INTERNALS

#include <rte_bus.h>
#include <rte_bus_pci.h>

static bool g_shared;

int
shim_share_driver(void)
{
	int rc = nvme_driver_init();

	g_shared = true;

	if (rc == 0 && spdk_process_is_primary()) {
		/* SPDK says so after its first controller; others would wait for that. */
		g_spdk_nvme_driver->initialized = true;
	}
	return rc;
}

void
shim_share(struct spdk_nvme_ctrlr *ctrlr)
{
	nvme_robust_mutex_lock(&g_spdk_nvme_driver->lock);
	TAILQ_INSERT_TAIL(&g_spdk_nvme_driver->shared_attached_ctrlrs, ctrlr, tailq);
	nvme_robust_mutex_unlock(&g_spdk_nvme_driver->lock);
}

void
shim_unshare(struct spdk_nvme_ctrlr *ctrlr)
{
	nvme_robust_mutex_lock(&g_spdk_nvme_driver->lock);
	TAILQ_REMOVE(&g_spdk_nvme_driver->shared_attached_ctrlrs, ctrlr, tailq);
	nvme_robust_mutex_unlock(&g_spdk_nvme_driver->lock);
}

/* DPDK attaches and detaches a function in all processes at once, and not at all, or by halves, when one of them
 * is slow, about to end or has not mapped it. Here each process does that for itself: the owner maps a function
 * before any member, and unmaps it after all of them. */

static int
has_name(const struct rte_device *function, const void *name)
{
	return strcmp(function->name, name);
}

void
shim_plug(const struct spdk_pci_addr *address)
{
	struct rte_bus *bus = rte_bus_find_by_name("pci");
	struct rte_device *function;
	char name[32];

	if (!g_shared || bus == NULL || spdk_pci_addr_fmt(name, sizeof(name), address) != 0) {
		return;
	}
	bus->scan();
	function = bus->find_device(NULL, has_name, name);
	if (function != NULL && !rte_dev_is_probed(function)) {
		/* Where it fails, attaching says why. */
		bus->plug(function);
	}
}

/* What SPDK takes for no business of DPDK's: anything but "pci". */
static const char OURS_TO_DETACH[] = "nvme-spdk";

struct spdk_pci_device *
shim_begin_detach(struct spdk_nvme_ctrlr *ctrlr)
{
	struct spdk_pci_device *device = g_shared ? nvme_ctrlr_proc_get_devhandle(ctrlr) : NULL;

	if (device != NULL) {
		device->type = OURS_TO_DETACH;
	}
	return device;
}

void
shim_end_detach(struct spdk_pci_device *device)
{
	struct rte_pci_device *function;

	if (device == NULL) {
		return;
	}
	function = device->dev_handle;
	device->internal.attached = false;
	function->device.bus->unplug(&function->device);
}

static int
take(void *context, struct spdk_pci_device *device)
{
	struct spdk_pci_device **taken = context;

	*taken = device;
	return 0;
}

struct spdk_nvme_ctrlr *
shim_join(const struct spdk_nvme_transport_id *trid)
{
	struct spdk_pci_device *device = NULL;
	struct spdk_nvme_ctrlr *ctrlr;
	struct spdk_pci_addr address;
	int rc = -1;

	/* Maps the registers where the owner has them. */
	if (spdk_pci_addr_parse(&address, trid->traddr) != 0) {
		return NULL;
	}
	shim_plug(&address);
	if (spdk_pci_device_attach(spdk_pci_nvme_get_driver(), take, &device, &address) != 0) {
		return NULL;
	}
	nvme_robust_mutex_lock(&g_spdk_nvme_driver->lock);
	ctrlr = nvme_get_ctrlr_by_trid_unsafe(trid);
	if (ctrlr != NULL) {
		nvme_robust_mutex_lock(&ctrlr->ctrlr_lock);
		rc = nvme_ctrlr_add_process(ctrlr, device);
		nvme_robust_mutex_unlock(&ctrlr->ctrlr_lock);
	}
	nvme_robust_mutex_unlock(&g_spdk_nvme_driver->lock);
	if (rc != 0) {
		shim_end_detach(device);
		return NULL;
	}
	return ctrlr;
}

/* Takes a process off the controller; its lock is held. What it has sent to the admin queue and is outstanding
 * completes without anybody hearing of it: SPDK drops what belongs to no process. */
static void
remove_process(struct spdk_nvme_ctrlr *ctrlr, struct spdk_nvme_ctrlr_process *process)
{
	struct nvme_request *req, *next;

	TAILQ_REMOVE(&ctrlr->active_procs, process, tailq);
	while ((req = STAILQ_FIRST(&process->active_reqs)) != NULL) {
		STAILQ_REMOVE_HEAD(&process->active_reqs, stailq);
		nvme_free_request(req);
	}
	STAILQ_FOREACH_SAFE(req, &ctrlr->adminq->queued_req, stailq, next) {
		if (req->pid == process->pid) {
			STAILQ_REMOVE(&ctrlr->adminq->queued_req, req, nvme_request, stailq);
			nvme_free_request(req);
		}
	}
	spdk_free(process);
}

void
shim_leave(struct spdk_nvme_ctrlr *ctrlr)
{
	struct spdk_nvme_ctrlr_process *process;
	struct spdk_pci_device *device = NULL;

	/* What was answered is told. */
	spdk_nvme_ctrlr_process_admin_completions(ctrlr);
	nvme_robust_mutex_lock(&ctrlr->ctrlr_lock);
	process = nvme_ctrlr_get_current_process(ctrlr);
	if (process != NULL) {
		device = process->devhandle;
		remove_process(ctrlr, process);
	}
	nvme_robust_mutex_unlock(&ctrlr->ctrlr_lock);
	shim_end_detach(device);
}

void
shim_forget(struct spdk_nvme_ctrlr *ctrlr, int32_t pid)
{
	struct spdk_nvme_ctrlr_process *process;
	struct spdk_nvme_qpair *qpair, *next;

	nvme_robust_mutex_lock(&ctrlr->ctrlr_lock);
	process = nvme_ctrlr_get_process(ctrlr, pid);
	if (process != NULL && pid != getpid()) {
		TAILQ_FOREACH_SAFE(qpair, &process->allocated_io_qpairs, per_process_tailq, next) {
			TAILQ_REMOVE(&process->allocated_io_qpairs, qpair, per_process_tailq);
			/* Nobody is left to be told, whatever it was doing: callbacks are addresses of that process. */
			qpair->in_completion_context = 0;
			qpair->no_deletion_notification_needed = 1;
			STAILQ_INIT(&qpair->queued_req);
			STAILQ_INIT(&qpair->aborting_queued_req);
			STAILQ_INIT(&qpair->err_req_head);
			shim_qpair_free(qpair, true);
		}
		remove_process(ctrlr, process);
	}
	nvme_robust_mutex_unlock(&ctrlr->ctrlr_lock);
}

#else

int
shim_share_driver(void)
{
	return -ENOTSUP;
}

void
shim_forget(struct spdk_nvme_ctrlr *ctrlr, int32_t pid)
{
}

#endif
