/* What of an NVMe/TCP queue pair SPDK has no function for: which command identifiers it hands out first, and its
 * socket.
 *
 * A fresh PCIe queue hands them out from the highest down, a fresh TCP queue from 0 up; both use what was
 * given back last again. Test scripts find commands that stay outstanding for long, Asynchronous Event
 * Requests above all, at the upper end. SPDK has no way to say so: the order is that of a list in a
 * structure which only its own source file knows. So that the compiler, and not we, says where it is, that
 * file is included here; nothing of it but the structures is used, and the linker drops the rest.
 */
#include "internals.h"

#ifdef SHIM_INTERNALS

#pragma GCC diagnostic ignored "-Wunused-function"
#undef SPDK_NVME_TRANSPORT_REGISTER
#define SPDK_NVME_TRANSPORT_REGISTER(name, ops) struct shim_registers_nothing
#define tcp_ops shim_tcp_ops_unused
#include "nvme_tcp.c"

void
shim_tcp_high_cids_first(struct spdk_nvme_qpair *qpair)
{
	struct nvme_tcp_qpair *tqpair = nvme_tcp_qpair(qpair);
	struct nvme_tcp_req *lowest = TAILQ_FIRST(&tqpair->free_reqs), *next;

	if (lowest == NULL) {
		return;
	}
	/* Each that follows the first goes in front of all. */
	while ((next = TAILQ_NEXT(lowest, link)) != NULL) {
		TAILQ_REMOVE(&tqpair->free_reqs, next, link);
		TAILQ_INSERT_HEAD(&tqpair->free_reqs, next, link);
	}
}

uint16_t
shim_tcp_local_port(struct spdk_nvme_ctrlr *ctrlr, struct spdk_nvme_qpair *qpair)
{
	struct nvme_tcp_qpair *tqpair = nvme_tcp_qpair(qpair != NULL ? qpair : ctrlr->adminq);
	char local[INET6_ADDRSTRLEN], peer[INET6_ADDRSTRLEN];
	uint16_t port = 0, peer_port = 0;

	if (tqpair->sock == NULL ||
	    spdk_sock_getaddr(tqpair->sock, local, sizeof(local), &port, peer, sizeof(peer), &peer_port) != 0) {
		return 0;
	}
	return port;
}

#else

void
shim_tcp_high_cids_first(struct spdk_nvme_qpair *qpair)
{
}

uint16_t
shim_tcp_local_port(struct spdk_nvme_ctrlr *ctrlr, struct spdk_nvme_qpair *qpair)
{
	return 0;
}

#endif
