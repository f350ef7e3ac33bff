/* What of an NVMe/TCP queue pair SPDK has no function for: which command identifiers it hands out first, its
 * socket, and a look at what the controller sends before SPDK believes it.
 *
 * A fresh PCIe queue hands them out from the highest down, a fresh TCP queue from 0 up; both use what was
 * given back last again. Test scripts find commands that stay outstanding for long, Asynchronous Event
 * Requests above all, at the upper end. SPDK has no way to say so: the order is that of a list in a
 * structure which only its own source file knows. So that the compiler, and not we, says where it is, that
 * file is included here.
 *
 * Controllers under test are broken, and SPDK v20.07 does not expect that: one that answers early has it give back a
 * buffer that it still sends from, one that asks for data in the right place has it send what lies behind one. So of
 * the functions included here those that receive are used, with the one call that reads headers going
 * through guarded_read(); the linker drops the rest.
 */
#include "internals.h"

#ifdef SHIM_INTERNALS

#include "spdk/crc32.h"
#include "spdk/string.h"
#include "spdk_internal/nvme_tcp.h"

#pragma GCC diagnostic ignored "-Wunused-function"
#undef SPDK_NVME_TRANSPORT_REGISTER
#define SPDK_NVME_TRANSPORT_REGISTER(name, ops) struct shim_registers_nothing
#define tcp_ops shim_tcp_ops
struct nvme_tcp_qpair;
static int guarded_read(struct nvme_tcp_qpair *tqpair, int bytes, void *buf);
#define nvme_tcp_read_data(sock, bytes, buf) guarded_read(tqpair, bytes, buf)
#include "nvme_tcp.c"
#undef nvme_tcp_read_data

void
shim_tcp_guard(struct spdk_nvme_transport_ops *ops)
{
	ops->ctrlr_connect_qpair = tcp_ops.ctrlr_connect_qpair;
	ops->qpair_process_completions = tcp_ops.qpair_process_completions;
}

static enum spdk_nvme_data_transfer
direction(const struct spdk_nvme_cmd *cmd)
{
	const struct spdk_nvmf_capsule_cmd *capsule = (const void *)cmd;

	return spdk_nvme_opc_get_data_transfer(cmd->opc == SPDK_NVME_OPC_FABRIC ? capsule->fctype : cmd->opc);
}

/* Whether data is to move against the direction of a command; NULL if it is not, or SPDK notices itself. */
static const char *
wrong_direction(struct nvme_tcp_qpair *tqpair, uint16_t cid, enum spdk_nvme_data_transfer against)
{
	struct nvme_tcp_req *tcp_req = get_nvme_active_req_by_cid(tqpair, cid);

	if (tcp_req != NULL && direction(&tcp_req->req->cmd) == against) {
		return "the command's data goes the other way";
	}
	return NULL;
}

/* Whether it ends a command of which SPDK has not sent all yet: it would free the request, and its buffer would be its
 * owner's, while both are still read from. */
static bool
is_early(struct nvme_tcp_qpair *tqpair, const struct nvme_tcp_pdu *pdu)
{
	struct nvme_tcp_req *tcp_req = NULL;

	if (pdu->hdr.common.pdu_type == SPDK_NVME_TCP_PDU_TYPE_CAPSULE_RESP) {
		tcp_req = get_nvme_active_req_by_cid(tqpair, pdu->hdr.capsule_resp.rccqe.cid);
	} else if (pdu->hdr.common.pdu_type == SPDK_NVME_TCP_PDU_TYPE_C2H_DATA &&
		   (pdu->hdr.common.flags & SPDK_NVME_TCP_C2H_DATA_FLAGS_SUCCESS)) {
		tcp_req = get_nvme_active_req_by_cid(tqpair, pdu->hdr.c2h_data.cccid);
	}
	return tcp_req != NULL && !tcp_req->ordering.send_ack;
}

/* Whether a Read would succeed with less data than it asked for, and its buffer keep what was there before. Of a
 * controller that takes SGLs longer than the data that may be a raw command's intent. */
static bool
is_short(struct nvme_tcp_qpair *tqpair, uint16_t cid, uint32_t datal)
{
	struct nvme_tcp_req *tcp_req = get_nvme_active_req_by_cid(tqpair, cid);

	return tcp_req != NULL && !nvme_qpair_is_admin_queue(&tqpair->qpair) &&
	       tcp_req->req->cmd.opc == SPDK_NVME_OPC_READ && !tqpair->qpair.ctrlr->cdata.sgls.oversized_sgl &&
	       (uint64_t)tcp_req->datao + datal < tcp_req->req->payload_size;
}

static const char *
wrong_icresp(struct nvme_tcp_qpair *tqpair, const struct nvme_tcp_pdu *pdu)
{
	const struct spdk_nvme_ctrlr_opts *opts = &tqpair->qpair.ctrlr->opts;
	const struct spdk_nvme_tcp_ic_resp *ic_resp = &pdu->hdr.ic_resp;

	if (ic_resp->dgst.bits.hdgst_enable != opts->header_digest) {
		return opts->header_digest ? "the controller does no header digests, which were asked for" :
		       "the controller does header digests, which were not asked for";
	}
	if (ic_resp->dgst.bits.ddgst_enable != opts->data_digest) {
		return opts->data_digest ? "the controller does no data digests, which were asked for" :
		       "the controller does data digests, which were not asked for";
	}
	return NULL;
}

static const char *
wrong_response(struct nvme_tcp_qpair *tqpair, const struct nvme_tcp_pdu *pdu)
{
	const struct spdk_nvme_cpl *cpl = &pdu->hdr.capsule_resp.rccqe;

	if (!spdk_nvme_cpl_is_error(cpl) && is_short(tqpair, cpl->cid, 0)) {
		return "a Read succeeds, and not all of its data came";
	}
	return NULL;
}

static const char *
wrong_c2h_data(struct nvme_tcp_qpair *tqpair, const struct nvme_tcp_pdu *pdu)
{
	const struct spdk_nvme_tcp_c2h_data_hdr *c2h_data = &pdu->hdr.c2h_data;
	uint64_t plen = (uint64_t)c2h_data->common.pdo + c2h_data->datal;
	const char *wrong = wrong_direction(tqpair, c2h_data->cccid, SPDK_NVME_DATA_HOST_TO_CONTROLLER);

	/* SPDK would wait for it for ever. */
	if (c2h_data->datal == 0) {
		return "there is no data";
	}
	if (tqpair->host_ddgst_enable) {
		plen += SPDK_NVME_TCP_DIGEST_LEN;
	}
	if (c2h_data->common.plen != plen) {
		return "PLEN is not what PDO and DATAL make";
	}
	/* SPDK adds them in 32 bits. */
	if ((uint64_t)c2h_data->datao + c2h_data->datal > UINT32_MAX) {
		return "DATAO and DATAL lead beyond 4 GiB";
	}
	if (wrong == NULL && (c2h_data->common.flags & SPDK_NVME_TCP_C2H_DATA_FLAGS_SUCCESS) &&
	    is_short(tqpair, c2h_data->cccid, c2h_data->datal)) {
		return "a Read succeeds, and not all of its data came";
	}
	return wrong;
}

static const char *
wrong_r2t(struct nvme_tcp_qpair *tqpair, const struct nvme_tcp_pdu *pdu)
{
	const struct spdk_nvme_tcp_r2t_hdr *r2t = &pdu->hdr.r2t;

	if ((uint64_t)r2t->r2to + r2t->r2tl > UINT32_MAX) {
		return "R2TO and R2TL lead beyond 4 GiB";
	}
	return wrong_direction(tqpair, r2t->cccid, SPDK_NVME_DATA_CONTROLLER_TO_HOST);
}

static const char *
wrong_header(struct nvme_tcp_qpair *tqpair, const struct nvme_tcp_pdu *pdu)
{
	switch (pdu->hdr.common.pdu_type) {
	case SPDK_NVME_TCP_PDU_TYPE_IC_RESP:
		return wrong_icresp(tqpair, pdu);
	case SPDK_NVME_TCP_PDU_TYPE_CAPSULE_RESP:
		return wrong_response(tqpair, pdu);
	case SPDK_NVME_TCP_PDU_TYPE_C2H_DATA:
		return wrong_c2h_data(tqpair, pdu);
	case SPDK_NVME_TCP_PDU_TYPE_R2T:
		return wrong_r2t(tqpair, pdu);
	case SPDK_NVME_TCP_PDU_TYPE_C2H_TERM_REQ:
		/* SPDK's table of reasons begins with the wrong one, and is too short for the last. */
		SPDK_ERRLOG("C2HTermReq: FES %u, FEI %u\n", pdu->hdr.term_req.fes, DGET32(pdu->hdr.term_req.fei));
		return "the controller ends the connection";
	default:
		return NULL;
	}
}

/* Where the data begins is said by PDO. SPDK looks there only with header digests, and reads as much into its header,
 * however large that is. Whether it can be there. */
static bool
find_data(struct nvme_tcp_qpair *tqpair, struct nvme_tcp_pdu *pdu)
{
	uint8_t header = pdu->hdr.common.hlen + (tqpair->host_hdgst_enable ? SPDK_NVME_TCP_DIGEST_LEN : 0);

	if (pdu->hdr.common.pdo < header || pdu->hdr.common.pdo > sizeof(pdu->hdr.raw)) {
		return false;
	}
	pdu->psh_len = pdu->hdr.common.pdo - sizeof(struct spdk_nvme_tcp_common_pdu_hdr);
	return true;
}

/* Reads a piece of a header. What SPDK could not stand ends the connection, as if the controller had closed it. What
 * comes too early waits where it is: SPDK is told that the last piece has not come yet. */
static int
guarded_read(struct nvme_tcp_qpair *tqpair, int bytes, void *buf)
{
	struct nvme_tcp_pdu *pdu = &tqpair->recv_pdu;
	/* Of use to SPDK in PDUs that it sends only. */
	void **waits = &pdu->cb_arg;
	const char *wrong;
	int rc;

	if (tqpair->recv_state != NVME_TCP_PDU_RECV_STATE_AWAIT_PDU_PSH) {
		return nvme_tcp_read_data(tqpair->sock, bytes, buf);
	}
	if (pdu->hdr.common.pdu_type == SPDK_NVME_TCP_PDU_TYPE_C2H_DATA) {
		if (!find_data(tqpair, pdu)) {
			wrong = "there can be no data at PDO";
			goto end;
		}
		bytes = pdu->psh_len - pdu->psh_valid_bytes;
	}
	rc = *waits != NULL ? bytes : nvme_tcp_read_data(tqpair->sock, bytes, buf);
	if (rc != bytes) {
		return rc;
	}
	wrong = wrong_header(tqpair, pdu);
	if (wrong == NULL) {
		*waits = is_early(tqpair, pdu) ? pdu : NULL;
		return *waits != NULL ? 0 : rc;
	}
end:
	SPDK_ERRLOG("PDU type 0x%02x on queue %u, PLEN %u: %s\n", pdu->hdr.common.pdu_type, tqpair->qpair.id,
		    pdu->hdr.common.plen, wrong);
	return NVME_TCP_CONNECTION_FATAL;
}

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
shim_tcp_guard(struct spdk_nvme_transport_ops *ops)
{
}

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
