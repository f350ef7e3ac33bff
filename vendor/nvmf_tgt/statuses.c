/* Errors for which an SSD has a status, where SPDK's target ends the connection or says that it is broken
 * itself: transfers above MDTS (00/02), I/O commands that its devices do not know (00/01), and data that
 * Compare finds different (02/85).
 */
#include "spdk/stdinc.h"

#include "nvmf_internal.h"
#include "spdk/bdev_module.h"

struct spdk_nvmf_transport *__real_spdk_nvmf_transport_create(const char *name,
		struct spdk_nvmf_transport_opts *opts);
struct spdk_nvmf_transport *__wrap_spdk_nvmf_transport_create(const char *name,
		struct spdk_nvmf_transport_opts *opts);
void __real_spdk_nvmf_request_exec(struct spdk_nvmf_request *req);
void __wrap_spdk_nvmf_request_exec(struct spdk_nvmf_request *req);
int __real_nvmf_bdev_ctrlr_nvme_passthru_io(struct spdk_bdev *bdev, struct spdk_bdev_desc *desc,
		struct spdk_io_channel *ch, struct spdk_nvmf_request *req);
int __wrap_nvmf_bdev_ctrlr_nvme_passthru_io(struct spdk_bdev *bdev, struct spdk_bdev_desc *desc,
		struct spdk_io_channel *ch, struct spdk_nvmf_request *req);
void __real_spdk_bdev_io_get_nvme_status(const struct spdk_bdev_io *bdev_io, uint32_t *cdw0,
		int *sct, int *sc);
void __wrap_spdk_bdev_io_get_nvme_status(const struct spdk_bdev_io *bdev_io, uint32_t *cdw0,
		int *sct, int *sc);

/* The transport ends a connection where a command transfers more than max_io_size. So this is raised, and
 * the size that was asked for becomes that of one buffer: what does not fit into one buffer is above MDTS.
 * The number of buffers stays as it is; a transfer that is going to be refused borrows several. */
struct spdk_nvmf_transport *
__wrap_spdk_nvmf_transport_create(const char *name, struct spdk_nvmf_transport_opts *opts)
{
	opts->io_unit_size = opts->max_io_size;
	opts->max_io_size *= SPDK_NVMF_MAX_SGL_ENTRIES;
	return __real_spdk_nvmf_transport_create(name, opts);
}

/* Completes a request before SPDK looks at it; the bookkeeping is that of spdk_nvmf_request_exec where the
 * queue is not active. */
static void
refuse(struct spdk_nvmf_request *req, uint8_t sc)
{
	struct spdk_nvmf_qpair *qpair = req->qpair;

	req->rsp->nvme_cpl.status.sct = SPDK_NVME_SCT_GENERIC;
	req->rsp->nvme_cpl.status.sc = sc;
	qpair->group->sgroups[qpair->ctrlr->subsys->id].io_outstanding++;
	TAILQ_INSERT_TAIL(&qpair->outstanding, req, link);
	spdk_nvmf_request_complete(req);
}

/* SPDK clears an admin command's data as if it were one buffer, so this must come before it. Before Connect
 * there is no controller that could refuse anything, and SPDK looks at the length itself. */
void
__wrap_spdk_nvmf_request_exec(struct spdk_nvmf_request *req)
{
	if (spdk_unlikely(req->length > req->qpair->transport->opts.io_unit_size && req->qpair->ctrlr != NULL)) {
		refuse(req, SPDK_NVME_SC_INVALID_FIELD);
		return;
	}
	__real_spdk_nvmf_request_exec(req);
}

/* SPDK hands on I/O commands that it does not know; a device that is no NVMe device fails them with an
 * internal error. */
int
__wrap_nvmf_bdev_ctrlr_nvme_passthru_io(struct spdk_bdev *bdev, struct spdk_bdev_desc *desc,
					struct spdk_io_channel *ch, struct spdk_nvmf_request *req)
{
	if (!spdk_bdev_io_type_supported(bdev, SPDK_BDEV_IO_TYPE_NVME_IO)) {
		req->rsp->nvme_cpl.status.sct = SPDK_NVME_SCT_GENERIC;
		req->rsp->nvme_cpl.status.sc = SPDK_NVME_SC_INVALID_OPCODE;
		return SPDK_NVMF_REQUEST_EXEC_STATUS_COMPLETE;
	}
	return __real_nvmf_bdev_ctrlr_nvme_passthru_io(bdev, desc, ch, req);
}

/* SPDK compares for devices that cannot do it themselves, and knows the result by another name. */
void
__wrap_spdk_bdev_io_get_nvme_status(const struct spdk_bdev_io *bdev_io, uint32_t *cdw0, int *sct, int *sc)
{
	__real_spdk_bdev_io_get_nvme_status(bdev_io, cdw0, sct, sc);
	if (spdk_unlikely(bdev_io->internal.status == SPDK_BDEV_IO_STATUS_MISCOMPARE)) {
		*sct = SPDK_NVME_SCT_MEDIA_ERROR;
		*sc = SPDK_NVME_SC_COMPARE_FAILURE;
	}
}
