/* Format NVM: the blocks become zero. There is one LBA format per namespace, the one it was made with.
 *
 * Memory is filled by the thread that also serves all queues, so it is done in pieces, with I/O in between.
 */
#include "spdk/stdinc.h"

#include "nvmf_internal.h"

#define PIECE (1024 * 1024)

struct format {
	struct spdk_nvmf_request	*req;
	/* The namespace under way, and the ones still to come if it is for all of them. */
	struct spdk_nvmf_ns		*ns;
	bool				all;
	uint64_t			lba;
	struct spdk_bdev_io_wait_entry	wait;
};

static void go_on(void *arg);

static void
end(struct format *format, uint8_t sc)
{
	struct spdk_nvmf_request *req = format->req;

	free(format);
	req->rsp->nvme_cpl.status.sct = SPDK_NVME_SCT_GENERIC;
	req->rsp->nvme_cpl.status.sc = sc;
	spdk_nvmf_request_complete(req);
}

static void
zeroed(struct spdk_bdev_io *bdev_io, bool success, void *arg)
{
	spdk_bdev_free_io(bdev_io);
	if (success) {
		go_on(arg);
	} else {
		end(arg, SPDK_NVME_SC_INTERNAL_DEVICE_ERROR);
	}
}

/* Zeroes the next piece. While a command is outstanding the subsystem is not paused, so that neither
 * namespaces nor their channels go away. */
static void
go_on(void *arg)
{
	struct format *format = arg;
	struct spdk_bdev *bdev;
	struct spdk_bdev_desc *desc;
	struct spdk_io_channel *ch;
	uint64_t blocks;
	int rc;

	if (format->lba == spdk_bdev_get_num_blocks(format->ns->bdev)) {
		format->lba = 0;
		format->ns = format->all ?
			     spdk_nvmf_subsystem_get_next_ns(format->ns->subsystem, format->ns) : NULL;
		if (format->ns == NULL) {
			end(format, SPDK_NVME_SC_SUCCESS);
			return;
		}
	}
	if (spdk_nvmf_request_get_bdev(format->ns->nsid, format->req, &bdev, &desc, &ch) != 0) {
		end(format, SPDK_NVME_SC_INTERNAL_DEVICE_ERROR);
		return;
	}
	blocks = spdk_min(PIECE / spdk_bdev_get_block_size(bdev), spdk_bdev_get_num_blocks(bdev) - format->lba);
	rc = spdk_bdev_write_zeroes_blocks(desc, ch, format->lba, blocks, zeroed, format);
	if (rc == 0) {
		format->lba += blocks;
		return;
	}
	if (rc == -ENOMEM) {
		format->wait.bdev = bdev;
		format->wait.cb_fn = go_on;
		format->wait.cb_arg = format;
		rc = spdk_bdev_queue_io_wait(bdev, ch, &format->wait);
	}
	if (rc != 0) {
		end(format, SPDK_NVME_SC_INTERNAL_DEVICE_ERROR);
	}
}

static int
refuse(struct spdk_nvmf_request *req, uint8_t sct, uint8_t sc)
{
	req->rsp->nvme_cpl.status.sct = sct;
	req->rsp->nvme_cpl.status.sc = sc;
	return SPDK_NVMF_REQUEST_EXEC_STATUS_COMPLETE;
}

static int
format_nvm(struct spdk_nvmf_request *req)
{
	struct spdk_nvmf_subsystem *subsystem = req->qpair->ctrlr->subsys;
	struct spdk_nvme_cmd *cmd = &req->cmd->nvme_cmd;
	bool all = cmd->nsid == SPDK_NVME_GLOBAL_NS_TAG;
	struct spdk_nvmf_ns *ns = all ? spdk_nvmf_subsystem_get_first_ns(subsystem) :
				  _nvmf_subsystem_get_ns(subsystem, cmd->nsid);
	struct spdk_nvme_format how;
	struct format *format;

	memcpy(&how, &cmd->cdw10, sizeof(how));
	if (ns == NULL || ns->bdev == NULL) {
		return refuse(req, SPDK_NVME_SCT_GENERIC, SPDK_NVME_SC_INVALID_NAMESPACE_OR_FORMAT);
	}
	if (how.lbaf != 0 || how.pi != 0) {
		return refuse(req, SPDK_NVME_SCT_COMMAND_SPECIFIC, SPDK_NVME_SC_INVALID_FORMAT);
	}
	/* No erase, user data erase, cryptographic erase. */
	if (how.ses > 2) {
		return refuse(req, SPDK_NVME_SCT_GENERIC, SPDK_NVME_SC_INVALID_FIELD);
	}
	format = calloc(1, sizeof(*format));
	if (format == NULL) {
		return refuse(req, SPDK_NVME_SCT_GENERIC, SPDK_NVME_SC_INTERNAL_DEVICE_ERROR);
	}
	format->req = req;
	format->ns = ns;
	format->all = all;
	go_on(format);
	return SPDK_NVMF_REQUEST_EXEC_STATUS_ASYNCHRONOUS;
}

/* That there is a handler sets the bit in OACS. */
static void __attribute__((constructor))
register_handler(void)
{
	spdk_nvmf_set_custom_admin_cmd_hdlr(SPDK_NVME_OPC_FORMAT_NVM, format_nvm);
}
