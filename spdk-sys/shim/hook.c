/* An observer between SPDK and its transports, and a bound on the waits inside SPDK.
 *
 * SPDK keeps its transports' function tables in writable memory: the table is the first member of the
 * object that nvme_get_transport() returns. Entries are replaced before the first controller is
 * opened: submit_request, so that every command is seen with its real identifier, SPDK's own included,
 * and Connect has its data in the capsule; and process_completions, through which every loop that waits inside SPDK goes.
 */
#include "internals.h"

static __thread uint64_t t_deadline;
static __thread const uint8_t *t_cancel;
static __thread bool t_ended_a_wait;

void
shim_deadline_set(uint64_t deadline, const uint8_t *cancel)
{
	t_deadline = deadline;
	t_cancel = cancel;
	t_ended_a_wait = false;
}

bool
shim_deadline_clear(void)
{
	t_deadline = 0;
	t_cancel = NULL;
	return t_ended_a_wait;
}

bool
shim_deadline_has_ended(void)
{
	return t_ended_a_wait;
}

static __thread bool t_no_such_queue;

void
shim_hook_forget_answers(void)
{
	t_no_such_queue = false;
}

bool
shim_hook_no_such_queue(void)
{
	return t_no_such_queue;
}

static __thread uint32_t t_interrupt;

void
shim_hook_next_interrupt(uint32_t cdw11)
{
	t_interrupt = cdw11;
}

#ifdef SHIM_INTERNALS

#include "spdk/likely.h"

/* A request of SPDK's own whose completion passes through the observer. */
struct foreign {
	spdk_nvme_cmd_cb	cb_fn;
	void			*cb_arg;
	void			*handle;
	uint8_t			opcode;
	bool			submitting;
	bool			completed;
};

struct hooked_transport {
	int (*submit)(struct spdk_nvme_qpair *qpair, struct nvme_request *req);
	int (*poll)(struct spdk_nvme_qpair *qpair, uint32_t max_completions);
};

static struct shim_observer g_observer;
static bool g_installed;
static pid_t g_pid;
static struct hooked_transport g_pcie, g_tcp;

static void
foreign_completed(void *arg, const struct spdk_nvme_cpl *cpl)
{
	struct foreign *foreign = arg;
	spdk_nvme_cmd_cb cb_fn = foreign->cb_fn;
	void *cb_arg = foreign->cb_arg;

	if (foreign->opcode == SPDK_NVME_OPC_DELETE_IO_SQ) {
		t_no_such_queue = cpl->status.sct == SPDK_NVME_SCT_COMMAND_SPECIFIC &&
				  cpl->status.sc == SPDK_NVME_SC_INVALID_QUEUE_IDENTIFIER;
	}
	g_observer.foreign_completed(foreign->handle, cpl);
	foreign->completed = true;
	if (!foreign->submitting) {
		free(foreign);
	}
	if (cb_fn != NULL) {
		cb_fn(cb_arg, cpl);
	}
}

static int
submit_foreign(const struct hooked_transport *original, struct spdk_nvme_qpair *qpair,
	       struct nvme_request *req)
{
	struct foreign *foreign = calloc(1, sizeof(*foreign));
	int rc;

	/* SPDK has no use for interrupts and leaves them off. */
	if (t_interrupt != 0 && qpair->id == 0 && req->cmd.opc == SPDK_NVME_OPC_CREATE_IO_CQ) {
		req->cmd.cdw11 |= t_interrupt;
		t_interrupt = 0;
	}
	if (foreign == NULL) {
		return original->submit(qpair, req);
	}
	foreign->cb_fn = req->cb_fn;
	foreign->cb_arg = req->cb_arg;
	foreign->opcode = req->cmd.opc;
	foreign->handle = g_observer.foreign_started(qpair, qpair->id, &req->cmd);
	foreign->submitting = true;
	req->cb_fn = foreign_completed;
	req->cb_arg = foreign;

	rc = original->submit(qpair, req);

	/* A failing socket completes requests before submit returns; the request is gone then. */
	foreign->submitting = false;
	if (foreign->completed) {
		free(foreign);
		return rc;
	}
	if (rc == 0) {
		g_observer.foreign_submitted(foreign->handle, true, req->cmd.cid);
		return 0;
	}
	/* -EAGAIN: SPDK submits the same request again later, and expects it as it was. */
	req->cb_fn = foreign->cb_fn;
	req->cb_arg = foreign->cb_arg;
	g_observer.foreign_submitted(foreign->handle, false, 0);
	free(foreign);
	return rc;
}

/* Processes share the admin queue of a PCIe controller, and whoever polls it sends what others could not. */
static inline bool
is_of_another_process(const struct spdk_nvme_qpair *qpair, const struct nvme_request *req)
{
	return spdk_unlikely(qpair->id == 0) && req->pid != g_pid;
}

static inline int
submit(const struct hooked_transport *original, struct spdk_nvme_qpair *qpair, struct nvme_request *req)
{
	void *arg = req->cb_arg;
	int rc;

	if (is_of_another_process(qpair, req)) {
		return original->submit(qpair, req);
	}
	if (spdk_unlikely(req->cb_fn != g_observer.own)) {
		return submit_foreign(original, qpair, req);
	}
	rc = original->submit(qpair, req);
	if (spdk_likely(rc == 0)) {
		g_observer.submitted(arg, req->cmd.cid);
	}
	return rc;
}

static inline int
poll_completions(const struct hooked_transport *original, struct spdk_nvme_qpair *qpair, uint32_t max_completions)
{
	int rc = original->poll(qpair, max_completions);

	if (spdk_unlikely(t_deadline != 0) && rc >= 0 &&
	    (spdk_get_ticks() > t_deadline ||
	     (t_cancel != NULL && __atomic_load_n(t_cancel, __ATOMIC_RELAXED) != 0))) {
		t_ended_a_wait = true;
		return -ENXIO;
	}
	return rc;
}

static int
submit_pcie(struct spdk_nvme_qpair *qpair, struct nvme_request *req)
{
	return submit(&g_pcie, qpair, req);
}

/* What every controller takes in capsules of Fabrics commands, according to the NVMe/TCP specification. */
#define FABRICS_IN_CAPSULE 8192

/* Before Identify SPDK does not know what capsules take, and sends the data of Connect on request. Other hosts have it
 * in the capsule, and there are targets that rely on it: nvmet of Linux 6.1 never asks for data that a capsule could
 * have held. The controller has no other queue yet, or none any more, whose commands the change could touch. */
static int
submit_first_connect(struct spdk_nvme_qpair *qpair, struct nvme_request *req)
{
	struct spdk_nvme_ctrlr *ctrlr = qpair->ctrlr;
	uint32_t known = ctrlr->ioccsz_bytes;
	int rc;

	ctrlr->ioccsz_bytes = FABRICS_IN_CAPSULE;
	rc = submit(&g_tcp, qpair, req);
	ctrlr->ioccsz_bytes = known;
	return rc;
}

static inline bool
is_connect(const struct nvme_request *req)
{
	const struct spdk_nvmf_capsule_cmd *capsule = (const void *)&req->cmd;

	return req->cmd.opc == SPDK_NVME_OPC_FABRIC && capsule->fctype == SPDK_NVMF_FABRIC_COMMAND_CONNECT;
}

static int
submit_tcp(struct spdk_nvme_qpair *qpair, struct nvme_request *req)
{
	if (spdk_unlikely(qpair->id == 0) && is_connect(req) && qpair->ctrlr->ioccsz_bytes < req->payload_size) {
		return submit_first_connect(qpair, req);
	}
	return submit(&g_tcp, qpair, req);
}

static int
poll_pcie(struct spdk_nvme_qpair *qpair, uint32_t max_completions)
{
	return poll_completions(&g_pcie, qpair, max_completions);
}

static int
poll_tcp(struct spdk_nvme_qpair *qpair, uint32_t max_completions)
{
	return poll_completions(&g_tcp, qpair, max_completions);
}

static void
hook(const char *name, struct hooked_transport *original,
     int (*submit_fn)(struct spdk_nvme_qpair *, struct nvme_request *),
     int (*poll_fn)(struct spdk_nvme_qpair *, uint32_t))
{
	struct spdk_nvme_transport_ops *ops = (void *)(uintptr_t)nvme_get_transport(name);

	if (ops == NULL) {
		return;
	}
	if (original == &g_tcp) {
		shim_tcp_guard(ops);
	}
	original->submit = ops->qpair_submit_request;
	original->poll = ops->qpair_process_completions;
	ops->qpair_submit_request = submit_fn;
	ops->qpair_process_completions = poll_fn;
}

int
shim_observer_install(const struct shim_observer *observer)
{
	if (g_installed) {
		return -EALREADY;
	}
	g_observer = *observer;
	g_pid = getpid();
	g_installed = true;
	hook("PCIE", &g_pcie, submit_pcie, poll_pcie);
	hook("TCP", &g_tcp, submit_tcp, poll_tcp);
	return 0;
}

#else

int
shim_observer_install(const struct shim_observer *observer)
{
	return -ENOTSUP;
}

#endif
