/* What spdk-sys adds to SPDK's public API, as plain C that bindgen reads.
 *
 * Everything here exists because SPDK's public functions cannot express it: DPDK started on our terms,
 * controllers that are opened one step at a time and never wait without a bound, and an observer of
 * every request that reaches a transport. What needs SPDK's internal header is missing with a system
 * SPDK; shim_has_internals() tells.
 */
#ifndef SPDK_SYS_SHIM_H
#define SPDK_SYS_SHIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct spdk_nvme_cmd;
struct spdk_nvme_cpl;
struct spdk_nvme_ctrlr;
struct spdk_nvme_qpair;

/* True when compiled against SPDK's lib/nvme/nvme_internal.h. */
bool shim_has_internals(void);

/* The text of SPDK's version.h, as "SPDK v20.07". */
const char *shim_spdk_version(void);

/* ---- What versions differ in (versions.c) ---- */

enum shim_feature {
	/* TLS for NVMe/TCP with a pre-shared key in the interchange format */
	SHIM_FEATURE_TLS = 0,
	/* in-band authentication, DH-HMAC-CHAP */
	SHIM_FEATURE_DHCHAP,
	/* a choice of sending without copying */
	SHIM_FEATURE_ZERO_COPY,
};

enum shim_support {
	SHIM_SUPPORT_THERE = 0,
	/* This version has it not yet. */
	SHIM_SUPPORT_TOO_OLD,
	/* This version has it, but was built without. */
	SHIM_SUPPORT_NOT_BUILT,
};

/* The first version that has a feature, as 2305 for v23.05. */
uint32_t shim_feature_since(enum shim_feature feature);
enum shim_support shim_feature_support(enum shim_feature feature);

/* DMA memory, zeroed, on any node; NULL if there is none. spdk_free() frees it. */
void *shim_zmalloc(size_t bytes, size_t alignment);

/* Whether sockets that connect from now on send without copying, as far as the kernel lets them; for the whole
 * process. 0 or a negative errno. */
int shim_zero_copy_set(bool on);

/* ---- Environment (env.c) ---- */

/* Starts DPDK with exactly these arguments, then SPDK on top of it. What DPDK prints meanwhile goes to
 * `said` (always NUL-terminated). Returns 0 or a negative errno. */
int shim_env_init(int argc, char **argv, bool legacy_mem, char *said, size_t said_size);

/* Bytes of DMA memory that somebody has allocated. */
uint64_t shim_env_memory_in_use(void);

/* ---- Log (log.c) ---- */

/* A line of SPDK's log. level: 0 error, 1 warning, 2 notice, 3 info, 4 debug. */
typedef void (*shim_log_fn)(int level, const char *file, int line, const char *func, const char *text);
void shim_log_open(shim_log_fn fn);

/* ---- Deadlines (hook.c) ---- */

/* Bounds every wait inside SPDK on this thread: past `deadline` (in spdk_get_ticks), or once *cancel is
 * nonzero, polling a queue pair fails with -ENXIO, which ends whatever loop is waiting for it and fails
 * the queue pair's controller. 0 removes the bound. `cancel` may be NULL. */
void shim_deadline_set(uint64_t deadline, const uint8_t *cancel);

/* Removes the bound; true when it ended a wait since it was set. */
bool shim_deadline_clear(void);

/* ---- Controllers (ctrlr.c) ---- */

enum shim_transport { SHIM_TRANSPORT_PCIE = 0, SHIM_TRANSPORT_TCP = 1 };

struct shim_ctrlr_opts {
	enum shim_transport transport;
	bool ipv6;
	/* Connects the admin queue and sets CC.EN, nothing else: for discovery controllers. */
	bool discovery;
	bool header_digest;
	bool data_digest;
	uint16_t admin_queue_size;
	uint32_t keep_alive_ms;
	/* How many I/O queues are asked for; 0 for SPDK's default. */
	uint16_t io_queues;
	int priority;
	const char *traddr;
	const char *trsvcid;
	const char *subnqn;
	const char *hostnqn;
	/* 16 bytes */
	const uint8_t *hostid;
	/* Secrets in their interchange formats, or NULL. They are copied, and forgotten when the controller is closed. */
	const char *tls_psk;
	const char *dhchap_key;
	const char *dhchap_ctrlr_key;
	/* Without internals: SPDK gives up after about this time. */
	uint32_t timeout_ms;
};

enum shim_step {
	SHIM_STEP_NONE = 0,
	/* socket, ICReq/ICResp, Fabrics Connect of the admin queue, CAP and VS */
	SHIM_STEP_CONSTRUCT,
	/* CC.EN, CSTS.RDY, Identify Controller, Number of Queues */
	SHIM_STEP_INIT,
};

/* Opens a controller. On failure returns a negative errno (-ENOTSUP if it lacks a feature), *failed_at says where, and nothing is left. */
int shim_ctrlr_open(const struct shim_ctrlr_opts *opts, struct spdk_nvme_ctrlr **ctrlr,
		    enum shim_step *failed_at);

/* Closes it: I/O queue pairs that are left are freed, CC.EN is cleared without shutdown notification.
 * `gone`: the device does not answer any more, do not try to tell it. */
void shim_ctrlr_close(struct spdk_nvme_ctrlr *ctrlr, bool gone);

bool shim_ctrlr_is_failed(struct spdk_nvme_ctrlr *ctrlr);
uint16_t shim_ctrlr_id(struct spdk_nvme_ctrlr *ctrlr);
uint32_t shim_ctrlr_max_io_queues(struct spdk_nvme_ctrlr *ctrlr);

/* The TCP port of this host that a queue pair of an NVMe/TCP controller is connected from, NULL for its admin queue;
 * 0 if that is not known. */
uint16_t shim_tcp_local_port(struct spdk_nvme_ctrlr *ctrlr, struct spdk_nvme_qpair *qpair);

/* Controller registers: properties over fabrics, BAR0 on PCIe. 0 or a negative errno. */
int shim_ctrlr_get_reg_4(struct spdk_nvme_ctrlr *ctrlr, uint32_t offset, uint32_t *value);
int shim_ctrlr_get_reg_8(struct spdk_nvme_ctrlr *ctrlr, uint32_t offset, uint64_t *value);
int shim_ctrlr_set_reg_4(struct spdk_nvme_ctrlr *ctrlr, uint32_t offset, uint32_t value);

/* Bytes of BAR0; 0 over fabrics. */
uint64_t shim_ctrlr_bar_size(struct spdk_nvme_ctrlr *ctrlr);

/* On PCIe: writes ASQ, ACQ and AQA, and begins the admin queue anew; what was outstanding completes with
 * 00/08. CC.EN is 0 before, and set by the caller afterwards. 0 or a negative errno. */
int shim_ctrlr_enable_admin(struct spdk_nvme_ctrlr *ctrlr);

/* On PCIe: how many I/O queues the controller has granted. */
void shim_ctrlr_set_io_queues(struct spdk_nvme_ctrlr *ctrlr, uint32_t count);

/* On PCIe: whether nobody answers at its registers any more. */
bool shim_ctrlr_is_gone(struct spdk_nvme_ctrlr *ctrlr);

/* Completes what is outstanding on the admin queue with 00/08; afterwards it takes nothing more. Without
 * internals nothing happens: it completes when the controller is closed. */
void shim_ctrlr_abort_admin(struct spdk_nvme_ctrlr *ctrlr);

/* The admin queue pair, to tell its requests apart in the observer; NULL without internals. */
struct spdk_nvme_qpair *shim_ctrlr_admin_qpair(struct spdk_nvme_ctrlr *ctrlr);

/* ---- I/O queue pairs (qpair.c) ---- */

/* Takes an identifier and the memory for an I/O queue pair of `depth` entries; reads CC over the admin
 * queue. *qid is the identifier, or 0 where this SPDK does not tell. 0 or a negative errno. */
int shim_qpair_alloc(struct spdk_nvme_ctrlr *ctrlr, uint16_t depth, uint8_t priority,
		     struct spdk_nvme_qpair **qpair, uint16_t *qid);

/* Connects it: a connection and Fabrics Connect, or Create I/O CQ and SQ. `interrupt` is
 * IEN and IV as in dword 11 of Create I/O CQ. 0 or a negative errno; then it is still to be freed. */
int shim_qpair_connect(struct spdk_nvme_ctrlr *ctrlr, struct spdk_nvme_qpair *qpair, uint32_t interrupt);

/* Completes what is outstanding with 00/07 or 00/08 (their callbacks run before this returns) and frees it; `created`:
 * the device knows it, since shim_qpair_connect() was called. A device that does not answer in time is kept from
 * accessing memory until it is initialised anew. Nonzero if it answers, but does not delete the queue: then it may go on
 * using the memory of the queue pair, which is left to it, and that of its commands. */
int shim_qpair_free(struct spdk_nvme_qpair *qpair, bool created);

/* On PCIe: into how many pages the data of one command may reach. */
#define SHIM_PCIE_MOST_PAGES 504

/* ---- Sharing (sharing.c) ---- */

/* Sets up, or in a process that joins another's environment finds, what SPDK's driver shares between
 * processes. 0 or a negative number. */
int shim_share_driver(void);

/* Frees the queue pairs of a process that has ended, and forgets it. */
void shim_forget(struct spdk_nvme_ctrlr *ctrlr, int32_t pid);

/* ---- Observer (hook.c) ---- */

typedef void (*shim_complete_fn)(void *arg, const struct spdk_nvme_cpl *cpl);

struct shim_observer {
	/* The completion function of requests the user of this shim submits: tells them from SPDK's own. */
	shim_complete_fn own;
	/* The transport took the request with completion argument `arg`, under this command identifier. */
	void (*submitted)(void *arg, uint16_t cid);
	/* A request of SPDK's own is about to reach the transport. The value returned is passed on. */
	void *(*foreign_started)(struct spdk_nvme_qpair *qpair, uint16_t qid, const struct spdk_nvme_cmd *cmd);
	/* The transport took it (cid valid), or it will be tried again later (taken = false). */
	void (*foreign_submitted)(void *handle, bool taken, uint16_t cid);
	void (*foreign_completed)(void *handle, const struct spdk_nvme_cpl *cpl);
};

/* Puts the observer between SPDK and its transports, for all controllers opened from now on; once per
 * process, before the first. Returns 0, -ENOTSUP without internals, -EALREADY. */
int shim_observer_install(const struct shim_observer *observer);

#endif
